//! What stands in a guide is what is run.

use crate::machine::root;

/// `<!-- file: examples/guides/… -->` stands before a block of code that is this file.
#[test]
fn every_program_in_a_guide_is_the_file_that_the_tests_run() {
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("docs/guides")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for part in text.split("<!-- file: ").skip(1) {
            let (name, rest) = part.split_once(" -->").unwrap();
            let code = rest.split_once("```").and_then(|(_, code)| code.split_once('\n')).unwrap().1;
            let code = code.split_once("```").unwrap().0;
            let file = std::fs::read_to_string(root().join(name)).unwrap();
            assert_eq!(code, file, "{}: {name}", path.display());
            files += 1;
        }
    }
    assert!(files > 3, "{files} files");
}
