//! What the attributes accept, and what they say about what they do not.

#[test]
fn attributes_expand_or_say_what_is_wrong() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
