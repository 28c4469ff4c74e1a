//! The parts that the test binary plays besides the tests.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use oncilla_api::{Kind, ObjectKey};
use oncilla_lab::{LabError, Labs, Place};
use oncilla_store::rest::{Client, Collection, Event};
use serde_json::json;

use crate::fixture::{cluster, options};

/// `agent --node NAME --server SOCKET`: reports each revision as enforced.
pub(crate) const AGENT: &str = "--play-agent";
/// The same, but dies with a word.
pub(crate) const BAD_AGENT: &str = "--play-bad-agent";
/// `BASE NAME PLACE COMMAND…`: as `oncilla lab exec`.
pub(crate) const EXEC: &str = "--play-exec";
/// `BASE NAME`: as `oncilla lab down`.
pub(crate) const DOWN: &str = "--play-down";
/// Instead of a `BASE`: where labs of the user are.
pub(crate) const DEFAULT_BASE: &str = "default";
/// `BASE NAME attached|detached`: as `oncilla lab up`; says `up` and waits for its input to end.
pub(crate) const UP: &str = "--play-up";

pub(crate) fn play(arguments: &[OsString]) -> Option<ExitCode> {
    let texts: Vec<&str> = arguments.iter().filter_map(|a| a.to_str()).collect();
    match texts.as_slice() {
        [AGENT, "--node", node, "--server", server] => Some(agent(node, Path::new(server))),
        [BAD_AGENT, ..] => {
            eprintln!("the kernel has no such thing");
            Some(ExitCode::FAILURE)
        }
        [EXEC, base, name, place, command @ ..] => Some(exec(base, name, place, command)),
        [DOWN, base, name] => {
            labs(base).down(name).unwrap();
            Some(ExitCode::SUCCESS)
        }
        [UP, base, name, mode] => Some(up(base, name, mode)),
        _ => None,
    }
}

fn labs(base: &str) -> Labs {
    if base == DEFAULT_BASE {
        let runtime_folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        return Labs::of_user(runtime_folder.as_deref());
    }
    Labs::at(PathBuf::from(base))
}

fn agent(node: &str, server: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::unix(server);
        let key = ObjectKey::cluster(Kind::Node, node);
        let mut pods = client.follow(Collection::of(Kind::Pod));
        loop {
            let revision = match pods.next().await {
                Event::Synced(revision) => revision,
                Event::Applied(object) => object.revision,
                _ => continue,
            };
            let report = json!({ "revision": revision.0 }).to_string();
            let patch = json!({ "metadata": { "annotations": { "oncilla.io/agent": report } } });
            client.merge_patch(&key, &patch).await.unwrap();
        }
    })
}

fn exec(base: &str, name: &str, place: &str, command: &[&str]) -> ExitCode {
    let place: Place = place.parse().unwrap();
    let command: Vec<OsString> = command.iter().map(Into::into).collect();
    let lab = labs(base).find(name).unwrap();
    match lab.exec(&place, &command) {
        Ok(code) => ExitCode::from(code),
        Err(error @ LabError::UnknownPlace { .. }) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn up(base: &str, name: &str, mode: &str) -> ExitCode {
    let up = labs(base).up(&options(name, &cluster()), &mut |text| eprintln!("{text}"));
    let mut lab = match up {
        Ok(lab) => lab,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if mode == "detached" {
        lab.detach().unwrap();
    }
    println!("up");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    ExitCode::SUCCESS
}
