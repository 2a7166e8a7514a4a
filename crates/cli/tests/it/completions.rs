//! `midwatch completions`, and the help of every command.

use crate::midwatch::midwatch;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = midwatch(folder.path(), &format!("completions {shell}"));
        assert!(ran.code == 0 && ran.stdout.contains("simulate"), "{shell}");
    }
}

#[test]
fn the_help_of_every_command_has_examples() {
    let folder = tempfile::tempdir().unwrap();
    let help = midwatch(folder.path(), "--help").stdout;
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"ls") && names.len() >= 15, "{names:?}");
    for name in names.into_iter().filter(|name| !["help", "version"].contains(name)) {
        let help = midwatch(folder.path(), &format!("{name} --help")).stdout;
        let examples = help.split("Examples:").nth(1).unwrap_or_else(|| panic!("{name} has no examples"));
        assert!(examples.contains(&format!("  midwatch {name}")), "{name}");
    }
}
