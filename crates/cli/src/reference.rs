//! Version, completion scripts and man pages: what the binary says about itself, without a server.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Arguments;
use crate::calicoctl::Calicoctl;
use crate::exit::Exit;

/// Prints the version.
pub(crate) fn version() -> Exit {
    finish(writeln!(
        io::stdout(),
        "oncilla {}",
        env!("CARGO_PKG_VERSION")
    ))
}

/// Prints the completion script of a shell.
pub(crate) fn completion(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "oncilla", &mut script);
    finish(io::stdout().write_all(&script))
}

/// Writes a man page for every command into a folder.
pub(crate) fn man(folder: &Path) -> Exit {
    let written = fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
        .and_then(|()| clap_mangen::generate_to(Calicoctl::command(), folder));
    match written {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!(
                "error: cannot write man pages into {}: {error}",
                folder.display()
            );
            Exit::CannotJudge
        }
    }
}

/// A closed pipe is the end, not an error.
fn finish(written: io::Result<()>) -> Exit {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write the answer: {error}");
            Exit::CannotJudge
        }
        _ => Exit::Done,
    }
}
