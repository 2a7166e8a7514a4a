//! Whoever meets an error finds a page about it.

use std::path::Path;

#[test]
fn every_code_has_a_page() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(crate_folder.join("src/error.rs")).unwrap();
    let codes: Vec<&str> = source.split("\"[").skip(1).filter_map(|rest| rest.split(']').next()).collect();
    assert!(codes.len() >= 11, "{codes:?}");
    for code in codes {
        let page = crate_folder.join(format!("../../docs/errors/{code}.md"));
        let text =
            std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.starts_with(&format!("# {code}: ")), "{}", page.display());
    }
}
