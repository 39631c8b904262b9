//! The attributes on handlers: what compiles, and what the compiler says of the rest.

#[test]
fn attributes_on_handlers() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/attributes/pass/*.rs");
    cases.compile_fail("ui/attributes/fail/*.rs");
}
