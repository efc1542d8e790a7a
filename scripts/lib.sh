# shellcheck shell=bash
# Functions that several scripts share; sourced, never run. Bash 3.2 and up, so that an operator's
# Mac can run the scripts that need no build.
#
# The HMAC secret lives in the shell variable SECRET and leaves it only through builtins and pipes:
# an argument of any command would be readable by every user of the machine (ps).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DRAIN_PATH=/api/internal/heroku-log-drain
SELF=${0##*/}
unset SECRET # it may be the name of an exported variable, and an assignment would export it, too

say() { printf '%s: %s\n' "$SELF" "$*" >&2; }

# die CODE MESSAGE…; 64 is a usage error (EX_USAGE), as in the programs.
die() {
    local code=$1
    shift
    say "$*"
    exit "$code"
}

usage_error() { die 64 "$* (try: $SELF --help)"; }

# Prints the comment block that a script begins with, which is its --help.
print_help() { awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$0"; }

# ---- building -----------------------------------------------------------------------------------

# Builds the release into build/. A folder that is configured already keeps its settings, also if
# another generator made it.
build_release() (
    cores=$(nproc)
    cd "$ROOT" || exit
    if [ -f build/CMakeCache.txt ]; then
        cmake -S . -B build --log-level=WARNING || exit
    else
        cmake --preset release --log-level=WARNING || exit
    fi
    cmake --build build --parallel "$cores"
)

# absolute_path PATH [FOLDER]: a relative path is relative to FOLDER, by default the caller's.
absolute_path() {
    case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "${2:-$PWD}" "$1" ;;
    esac
}

# ---- settings -----------------------------------------------------------------------------------

# env_file_load FILE: exports each NAME=VALUE of the file, as foreman does, unless NAME is set
# already. Single quotes keep the value as it is, double quotes know \n and \X for X; comments have
# lines of their own. Relative paths are relative to the file. A builtin exports, so that ps shows
# no value.
env_file_load() {
    local line name value n=0 folder
    folder=$(cd "$(dirname "$1")" && pwd)
    while IFS= read -r line || [ -n "$line" ]; do
        n=$((n + 1))
        line=$(trim "$line")
        line=${line#export }
        case $line in
        '' | '#'*) continue ;;
        esac
        name=${line%%=*} value=${line#*=}
        case $name in
        "$line" | '' | [0-9]* | *[!A-Za-z0-9_]*)
            say "$1:$n: ignored a line that is not NAME=VALUE"
            continue
            ;;
        esac
        if [ -n "${!name+set}" ] || [ "$name" = SECRET ]; then
            continue
        fi
        case $value in
        \'*\') value=${value#\'} value=${value%\'} ;;
        \"*\")
            value=${value#\"} value=${value%\"}
            value=${value//\\n/$'\n'}
            value=$(printf '%s' "$value" | sed 's/\\\(.\)/\1/g')
            ;;
        esac
        case $name in
        DRAINWATCH_RULES | DRAINWATCH_STATE_DIR)
            [ -z "$value" ] || value=$(absolute_path "$value" "$folder")
            ;;
        esac
        export "$name=$value"
    done <"$1"
}

# The .env of the caller's folder, or else the checkout's.
env_file() {
    local file
    for file in "$PWD/.env" "$ROOT/.env"; do
        [ ! -f "$file" ] || break
    done
    [ -f "$file" ] || file=/dev/null
    printf '%s' "$file"
}

EXAMPLE_APP=raxx-console-prod
EXAMPLE_CHANNEL=D0AJ7K184TV

# rules_of_example FILE: prints `FILE:LINE: TEXT` for the app and the channel in a rules file that
# still name the shipped example's.
rules_of_example() {
    grep -nE "^(app:|[[:space:]]*channel:|slack:.*channel:).*($EXAMPLE_APP|$EXAMPLE_CHANNEL)" "$1" \
        2>/dev/null | sed -E "s|^([0-9]+):[[:space:]]*|$1:\1: |; s|[[:space:]]+#.*||" || true
}

# ---- the secret ---------------------------------------------------------------------------------

secret_file() { printf '%s/secret' "${DRAINWATCH_STATE_DIR:-$ROOT/state}"; }

trim() {
    local s=$1
    s=${s#"${s%%[![:space:]]*}"}
    s=${s%"${s##*[![:space:]]}"}
    printf '%s' "$s"
}

# The first of several secrets that is not empty, trimmed: the one that new tokens are made with.
secret_first() {
    local rest=$1, part
    while [ -n "$rest" ]; do
        part=$(trim "${rest%%,*}")
        rest=${rest#*,}
        if [ -n "$part" ]; then
            printf '%s' "$part"
            return
        fi
    done
}

# secret_load local|remote: sets SECRET from the environment, else from the terminal, else from the
# file that scripts/run keeps; for a local server .env and the file come before the terminal. The
# environment's variable is then unset, so that no command that is started later inherits it.
secret_load() {
    local file where=$1
    [ "$where" = remote ] || env_file_load "$(env_file)"
    file=$(secret_file)
    SECRET=$(secret_first "${HEROKU_LOG_DRAIN_HMAC_SECRET:-}")
    unset HEROKU_LOG_DRAIN_HMAC_SECRET
    if [ -z "$SECRET" ] && [ -t 0 ] && ! { [ "$where" = local ] && [ -r "$file" ]; }; then
        IFS= read -r -s -p "HMAC secret (Enter: the one in $file): " SECRET || true
        echo >&2
        SECRET=$(secret_first "$SECRET")
    fi
    if [ -z "$SECRET" ] && [ -r "$file" ]; then
        SECRET=$(secret_first "$(cat "$file")")
        say "using the secret in $file"
    fi
    [ -n "$SECRET" ] ||
        die 78 "no secret: set HEROKU_LOG_DRAIN_HMAC_SECRET, or run this in a terminal to be asked"
}

# Standard input → its SHA-256 in hex, with whichever tool the machine has.
sha256_hex() {
    local sum
    if command -v sha256sum >/dev/null; then
        sum=$(sha256sum)
    elif command -v shasum >/dev/null; then
        sum=$(shasum -a 256)
    else
        sum=$(openssl dgst -sha256 -r)
    fi
    printf '%s' "${sum%% *}"
}

# secret_hmac TEXT: HMAC-SHA256(SECRET, TEXT) in hex, by the definition in RFC 2104. `openssl dgst
# -hmac` would be shorter, and would put the key where ps shows it.
secret_hmac() {
    local key inner i byte ipad='' opad='' hash=''
    key=$(printf '%s' "$SECRET" | od -An -v -tx1 | tr -d ' \n')
    if [ ${#key} -gt 128 ]; then
        key=$(printf '%s' "$SECRET" | sha256_hex)
    fi
    for ((i = 0; i < 128; i += 2)); do
        byte=${key:i:2}
        printf -v byte '%d' "0x${byte:-00}"
        ipad+=$(printf '\\x%02x' $((byte ^ 0x36)))
        opad+=$(printf '\\x%02x' $((byte ^ 0x5c)))
    done
    inner=$({ printf '%b' "$ipad" && printf '%s' "$1"; } | sha256_hex)
    for ((i = 0; i < 64; i += 2)); do
        hash+="\\x${inner:i:2}"
    done
    printf '%b%b' "$opad" "$hash" | sha256_hex
}

# ---- talking to ingest --------------------------------------------------------------------------

# Seconds that an answer may take: Heroku's router gives up at 30, and a sleeping dyno needs some.
ANSWER_S=35

# url_normalise URL: the drain's full address; a bare host gets https and our path.
url_normalise() {
    local url=$1 host path=''
    case $url in
    http://* | https://*) ;;
    *://*) usage_error "$url: only https can be a drain" ;;
    *) url=https://$url ;;
    esac
    case $url in
    *[[:space:]]* | *\"* | *\\*) usage_error "$url: a URL holds no spaces, quotes or backslashes" ;;
    *@*) usage_error "the URL must hold no name and token: they are made here" ;;
    *\?* | *\#*) usage_error "$url: the URL must end with its path" ;;
    esac
    host=${url#*://}
    case $host in
    */*) path=/${host#*/} host=${host%%/*} ;;
    esac
    [ -n "$host" ] || usage_error "$1: no host in this URL"
    if [ -z "$path" ] || [ "$path" = / ]; then
        path=$DRAIN_PATH
    fi
    printf '%s://%s%s' "${url%%://*}" "$host" "$path"
}

url_is_local() {
    case $1 in
    http://127.0.0.1[:/]* | http://localhost[:/]* | http://\[::1\][:/]*) return 0 ;;
    esac
    return 1
}

# A string as curl's config files want it within double quotes.
curl_quote() {
    local s=$1
    s=${s//\\/\\\\}
    s=${s//\"/\\\"}
    printf '"%s"' "${s//$'\n'/\\n}"
}

# http_ask OPTION VALUE …: one request by curl's long options. They go in by standard input, for
# they hold tokens. Prints the status, 000 if no server answered; the answer's body goes to the
# file ANSWER_BODY if that is set.
http_ask() {
    {
        printf 'silent\nshow-error\nnoproxy = "127.0.0.1,localhost,::1"\nconnect-timeout = 10\n'
        printf 'max-time = %s\nwrite-out = "%%{http_code}"\n' "$ANSWER_S"
        printf 'output = %s\n' "$(curl_quote "${ANSWER_BODY:-/dev/null}")"
        while [ $# -gt 0 ]; do
            printf '%s = %s\n' "$1" "$(curl_quote "$2")"
            shift 2
        done
    } | curl --disable --config - || true
}

# http_deliver BODY OPTION VALUE …: posts a body as Logplex does; prints the status.
http_deliver() {
    local body=$1
    shift
    http_ask header 'Content-Type: application/logplex-1' data-binary "$body" "$@"
}

now_utc() { date -u +%Y-%m-%dT%H:%M:%SZ; }

# frame PROCESS-FIELDS TEXT: one octet-counted frame as Logplex builds it (RFC 6587, RFC 5424
# without STRUCTURED-DATA). Pure ASCII, so that characters are bytes.
frame() {
    local message
    message="<158>1 $(now_utc) host $1 - $2"
    printf '%d %s' ${#message} "$message"
}

# frame_storm N: N frames with a router's H12 each.
frame_storm() {
    local i
    for ((i = 1; i <= $1; i++)); do
        frame 'heroku router' "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/\" \
request_id=smoke-$i dyno=web.1 connect=0ms service=30000ms status=503 bytes=0"
    done
}
