use super::{Dump, is_lost, is_plain};

/// bug: 1000 rows before the dump, 1004 in it, 998 after it: every drill and restore refused it.
#[test]
fn rows_that_come_and_go_while_it_is_dumped_are_no_loss() {
    for (least, most, rows, lost) in [
        (998, 1000, 1004, false),
        (998, 1000, 990, false),
        (1000, 1000, 0, true),
        (3, 3, 0, false),
        (0, 0, 0, false),
    ] {
        let dump = Dump {
            name: "shop".to_owned(),
            file: "postgres/orders/0.dump".to_owned(),
            least,
            most,
        };
        assert_eq!(is_lost(&dump, rows), lost, "{least} to {most}: {rows}");
    }
}

#[test]
fn no_name_of_a_database_is_taken_for_something_else() {
    for good in ["shop", "web_shop", "Shop-2", "_x"] {
        assert!(is_plain(good), "{good}");
    }
    for bad in [
        "",
        "-d",
        "a b",
        "host=x",
        "postgres://x",
        "a\nb",
        "a;b",
        "a\"b",
    ] {
        assert!(!is_plain(bad), "{bad}");
    }
}
