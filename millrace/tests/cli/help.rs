//! What `--help` says, as golden files.

use crate::site::Site;

macro_rules! golden {
    ($($name:ident: $($arg:literal)*;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(Site::empty().run(&[$($arg,)* "--help"]).ok());
        }
    )*};
}

golden! {
    millrace: ;
    demo: "demo";
    up: "up";
    run: "run";
    init: "init";
    validate: "validate";
    probe: "probe";
    query: "query";
    audit: "audit";
    cost: "cost";
    dead_letters: "dead-letters";
    dead_letters_replay: "dead-letters" "replay";
    receive: "receive";
    infer: "infer";
}

#[test]
fn a_wrong_command_line_has_exit_code_2() {
    assert_eq!(Site::empty().run(&["fly"]).code, Some(2));
    assert_eq!(Site::empty().run(&["query"]).code, Some(2));
}
