# shellcheck shell=bash
# Completion of drainwatch-ingest and drainwatch-alerter: commands, options, files.

_drainwatch() {
    local program=${1##*/} word=$2 previous=$3 command='' commands options
    case $program in
    drainwatch-ingest) commands='scan help' ;;
    *) commands='status outbox export move replay test help' ;;
    esac
    [ "$COMP_CWORD" = 1 ] || command=${COMP_WORDS[1]}
    case $command in
    scan) options='--rules --drain' ;;
    status | outbox) options='--format' ;;
    export) options='--since' ;;
    replay) options='--rules --compare --format' ;;
    test) options='--rules' ;;
    '') options='--check --help --version --rules' ;;
    --*) options='--check --rules' ;;
    esac
    case $previous in
    --rules | --compare) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$word") ;;
    --since) mapfile -t COMPREPLY < <(compgen -W '1h 2h 1d 7d' -- "$word") ;;
    --drain) ;;
    help) mapfile -t COMPREPLY < <(compgen -W "${commands% help}" -- "$word") ;;
    *)
        case $word in
        -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
        *)
            case $command in
            '') mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word") ;;
            scan | replay | test) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
            esac
            ;;
        esac
        ;;
    esac
}

complete -o filenames -F _drainwatch drainwatch-ingest drainwatch-alerter
