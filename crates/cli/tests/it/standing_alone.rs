//! What needs no server: help, version, usage.

use super::cluster::{Said, oncilla, run};

fn alone(words: &str) -> Said {
    let folder = tempfile::tempdir().unwrap();
    run(&mut oncilla(folder.path(), words), b"")
}

#[test]
fn every_command_helps_with_an_example_without_a_server() {
    for command in [
        "demo",
        "lab",
        "lab up",
        "lab down",
        "lab status",
        "lab exec",
        "server",
        "agent",
        "apply",
        "get",
        "describe",
        "delete",
        "why",
        "status",
        "version",
        "completion",
        "man",
    ] {
        let said = alone(&format!("{command} --help"));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{command}");
        assert!(said.out.contains("Example:\n"), "{command}\n{}", said.out);
        assert!(
            said.out
                .contains(&format!("oncilla {}", command.split(' ').next().unwrap())),
            "{command}"
        );
    }
}

#[test]
fn version_and_wrong_usage_have_their_exit_codes() {
    let said = alone("version");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(said.out.starts_with("oncilla 0."), "{}", said.out);
    for words in [
        "",
        "aply -f x",
        "apply",
        "get",
        "get pods -o table",
        "delete",
    ] {
        let said = alone(words);
        assert_eq!(said.code, 2, "{words}: {said:?}");
        assert!(!said.err.is_empty(), "{words}");
    }
    assert!(alone("aply").err.contains("apply"), "did you mean");
}
