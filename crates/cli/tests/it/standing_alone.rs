//! What needs no server: help, version, usage, man pages, completions, colours.

use std::collections::BTreeSet;
use std::fs;

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
        "validate",
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

#[test]
fn nobody_is_asked_for_what_the_binary_knows_itself() {
    let folder = tempfile::tempdir().unwrap();
    let long = "completion bash";
    for words in [
        "version",
        "--version",
        "--help",
        "apply --help",
        "help",
        long,
        "man pages",
    ] {
        let mut command = oncilla(folder.path(), words);
        command.env("ONCILLA_SERVER", "/nowhere/api.sock");
        let said = run(&mut command, b"");
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words}");
    }
}

#[test]
fn every_command_has_a_man_page_with_the_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(&mut oncilla(folder.path(), "man deep/man1"), b"");
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, "", "")
    );
    let pages = folder.path().join("deep/man1");
    let names = fs::read_dir(&pages).unwrap();
    let names: BTreeSet<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for command in [
        "demo",
        "lab",
        "lab-up",
        "lab-down",
        "lab-status",
        "lab-exec",
        "server",
        "agent",
        "validate",
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
        let name = format!("oncilla-{command}.1");
        assert!(names.contains(&name), "{name}: {names:?}");
        let text = fs::read_to_string(pages.join(&name)).unwrap();
        assert!(text.contains(".SH NAME"), "{name}\n{text}");
        assert!(text.contains("Example:"), "{name}\n{text}");
    }
    let text = fs::read_to_string(pages.join("oncilla.1")).unwrap();
    for code in ["Exit codes:", "could not judge", "130"] {
        assert!(text.contains(code), "{text}");
    }
    fs::write(folder.path().join("file"), "").unwrap();
    let said = run(&mut oncilla(folder.path(), "man file"), b"");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.err.contains("cannot write man pages into file"),
        "{said:?}"
    );
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = alone(&format!("completion {shell}"));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{shell}");
        for word in ["describe", "dry-run", "log-format"] {
            assert!(said.out.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(alone("completion tcsh").code, 2);
}

#[test]
fn colours_come_where_they_are_wanted_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("bad.yaml"),
        "apiVersion: v1\nkind: Pdo\n",
    )
    .unwrap();
    let said = |flags: &str, variables: &[(&str, &str)]| {
        let mut command = oncilla(folder.path(), &format!("why -f bad.yaml a b tcp/1 {flags}"));
        command
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied());
        let said = run(&mut command, b"");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains("did you mean"), "{said:?}");
        said.err
    };
    let (forced, never) = (("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1"));
    let coloured = said("", &[forced]);
    assert!(coloured.contains('\u{1b}'), "{coloured}");
    for plain in [
        said("", &[]),
        said("", &[never]),
        said("", &[never, forced]),
        said("--no-color", &[forced]),
    ] {
        assert!(!plain.contains('\u{1b}'), "{plain}");
    }
}
