/* Tests the content of digests: groups, matches, and the groups that they name. */
#include "alerter/engine/digest.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static const char *const KEYS[] = {"path"};
static const struct rule RULE = {.name = "paths",
                                 .title = "Paths",
                                 .severity = "",
                                 .runbook = "docs/paths.md",
                                 .channel = "C1",
                                 .group_by = {KEYS, 1},
                                 .more_than = 1,
                                 .within_us = 60000000};

struct made {
    struct wire_group pair;
    struct wire_alert alert;
};

static struct wire_alert *alert(struct made *m, const char *app, const char *path, uint64_t count)
{
    m->pair = (struct wire_group){"path", path};
    m->alert = (struct wire_alert){.app = app,
                                   .group = &m->pair,
                                   .n_group = 1,
                                   .at_us = 1000,
                                   .count = count,
                                   .first_us = 100,
                                   .last_us = 900};
    return &m->alert;
}

static struct digest *new_digest(const char *path, uint64_t count)
{
    struct made m;
    struct digest *d = digest_new(alert(&m, "shop", path, count));

    assert_non_null(d);
    return d;
}

static void add(struct digest *d, const char *path, uint64_t count, uint64_t more)
{
    struct made m;

    assert_int_equal(digest_add(d, alert(&m, "shop", path, count), more), 0);
}

/* The paths that it names, with their counts: "/a 3 /b 2". */
static void assert_worst(struct digest *d, const char *want)
{
    struct buf text;
    struct wire_alert out;

    buf_init(&text, 1000);
    digest_show(d, &RULE, 5, &out);
    for (size_t i = 0; i < out.n_worst; i++) {
        assert_int_equal(out.worst[i].n_group, 1);
        assert_string_equal(out.worst[i].group[0].key, "path");
        (void)buf_printf(&text, "%s%s %d", i > 0 ? " " : "", out.worst[i].group[0].value,
                         (int)out.worst[i].count);
    }
    assert_string_equal(buf_text(&text), want);
    buf_close(&text);
}

UNIT_TEST(the_highest_counts_are_named_the_first_of_equal_ones_first)
{
    struct digest *d = new_digest("/a", 3);

    add(d, "/b", 5, 0);
    add(d, "/c", 3, 0);
    assert_worst(d, "/b 5 /a 3 /c 3");
    add(d, "/d", 3, 0);
    add(d, "/e", 4, 0);
    add(d, "/f", 3, 0); /* no higher than the last */
    assert_worst(d, "/b 5 /e 4 /a 3 /c 3 /d 3");
    add(d, "/g", 9, 0);
    assert_worst(d, "/g 9 /b 5 /e 4 /a 3 /c 3");
    digest_free(d);
}

UNIT_TEST(a_group_is_named_and_counted_once)
{
    struct digest *d = new_digest("/a", 3);
    struct wire_alert out;

    add(d, "/b", 4, 0);
    add(d, "/a", 2, 7);
    assert_worst(d, "/b 4 /a 3");
    add(d, "/a", 6, 1);
    assert_worst(d, "/a 6 /b 4");
    digest_show(d, &RULE, 5, &out);
    assert_int_equal(out.withheld, 4);
    assert_int_equal(out.groups, 2);
    assert_int_equal(out.count, 3 + 4 + 7 + 1);
    digest_free(d);
}

UNIT_TEST(a_digest_has_the_texts_of_its_rule)
{
    struct digest *d = new_digest("/a", 3);
    struct wire_alert out;

    digest_show(d, &RULE, 1778141172000000, &out);
    assert_true(wire_is_digest(&out));
    assert_string_equal(out.kind, "digest");
    assert_string_equal(out.rule, "paths");
    assert_string_equal(out.app, "shop");
    assert_string_equal(out.title, "Paths");
    assert_string_equal(out.runbook, "docs/paths.md");
    assert_string_equal(out.channel, "C1");
    assert_int_equal(out.n_group + out.sample.len, 0);
    assert_int_equal(out.threshold, 1);
    assert_int_equal(out.window_us, 60000000);
    assert_int_equal(out.at_us, 1778141172000000);
    assert_int_equal(out.first_us, 100);
    assert_int_equal(out.last_us, 900);
    assert_string_equal(out.worst[0].app, "shop");
    /* For ever the same: it stands in outboxes and in messages. */
    assert_string_equal(out.id, "926bda3041755146");
    digest_free(d);
}

UNIT_TEST(a_digest_of_several_apps_names_none)
{
    struct digest *d = new_digest("/a", 3);
    struct wire_alert out;
    struct made m;

    assert_int_equal(digest_add(d, alert(&m, "blog", "/a", 2), 0), 0);
    digest_show(d, &RULE, 5, &out);
    assert_string_equal(out.app, "");
    assert_int_equal(out.groups, 2);
    assert_int_equal(out.apps, 2);
    assert_string_equal(out.worst[1].app, "blog");
    digest_free(d);
}

/* The app and count of each group: "shop 9". */
static void assert_apps(struct digest *d, uint64_t n_apps, const char *want)
{
    struct buf text;
    struct wire_alert out;

    buf_init(&text, 1000);
    digest_show(d, &RULE, 5, &out);
    for (size_t i = 0; i < out.n_worst; i++)
        (void)buf_printf(&text, "%s%s %d", i > 0 ? ", " : "", out.worst[i].app,
                         (int)out.worst[i].count);
    assert_string_equal(buf_text(&text), want);
    assert_int_equal(out.apps, n_apps);
    buf_close(&text);
}

UNIT_TEST(no_app_stands_behind_the_groups_of_another)
{
    struct digest *d = new_digest("/0", 90);
    struct wire_alert out;
    struct made m;

    for (uint64_t i = 1; i < 20; i++)
        add(d, (const char *[]){"/a", "/b", "/c", "/d", "/e", "/f"}[i % 6], 90 + i, 0);
    assert_int_equal(digest_add(d, alert(&m, "blog", "/", 2), 0), 0);
    assert_int_equal(digest_add(d, alert(&m, "blog", "/x", 1), 0), 0);
    assert_apps(d, 2, "shop 109, shop 108, shop 107, blog 2, blog 1");
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            digest_add(d, alert(&m, (const char *[]){"c", "d", "e", "f"}[i], "/", 1), 0), 0);
    assert_apps(d, 6, "shop 109, blog 2, c 1, d 1, e 1");
    digest_show(d, &RULE, 5, &out);
    assert_int_equal(out.n_by_app, WIRE_BY_APP_MAX);
    assert_string_equal(out.by_app[0].app, "shop");
    assert_int_equal(out.by_app[0].alerts, 20);
    assert_string_equal(out.by_app[1].app, "blog");
    assert_int_equal(out.by_app[1].alerts, 2);
    assert_string_equal(out.by_app[4].app, "e");
    digest_free(d);
}

UNIT_TEST(a_saved_digest_is_loaded_as_it_was)
{
    struct digest *d = new_digest("/a", 3), *loaded;
    struct snapshot_writer w;
    struct snapshot_reader r;
    struct buf bytes;
    struct err err;

    add(d, "/b", 4, 0);
    buf_init(&bytes, 1000);
    snapshot_begin(&w, &bytes);
    digest_save(d, &RULE, &w);
    assert_int_equal(snapshot_finish(&w), 0);
    assert_int_equal(snapshot_open(&r, bytes.data, bytes.len, &err), 0);
    assert_int_equal(digest_load(&loaded, &RULE, 1000, &r), 0);
    assert_true(snapshot_complete(&r));
    assert_worst(loaded, "/b 4 /a 3");
    assert_int_equal(loaded->since_us, 1000);
    add(loaded, "/c", 5, 0);
    assert_worst(loaded, "/c 5 /b 4 /a 3");
    digest_free(loaded);
    digest_free(d);
    buf_close(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_counts_are_named_the_first_of_equal_ones_first),
        cmocka_unit_test(a_group_is_named_and_counted_once),
        cmocka_unit_test(a_digest_has_the_texts_of_its_rule),
        cmocka_unit_test(a_digest_of_several_apps_names_none),
        cmocka_unit_test(no_app_stands_behind_the_groups_of_another),
        cmocka_unit_test(a_saved_digest_is_loaded_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
