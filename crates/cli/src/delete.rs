//! `oncilla delete`: removes objects by name or from files.

use oncilla_api::{Kind, ObjectKey};
use oncilla_store::rest::{Client, RestError};

use crate::args::{Delete, Global, Select};
use crate::connect;
use crate::diagnostics::{Reporter, Verb};
use crate::exit::Exit;
use crate::files;
use crate::print;
use crate::target::{self, Target};

/// Runs `delete`.
pub(crate) fn run(global: &Global, arguments: &Delete) -> Exit {
    let mut keys = match keys(global, arguments) {
        Ok(keys) => keys,
        Err(exit) => return exit,
    };
    // The reverse of creation: what policies protect goes before the policies.
    keys.sort_by_key(|key| std::cmp::Reverse(Kind::ALL.iter().position(|kind| *kind == key.kind)));
    connect::with_client(global, async |client| {
        remove(client, arguments, &keys).await
    })
}

fn keys(global: &Global, arguments: &Delete) -> Result<Vec<ObjectKey>, Exit> {
    let namespace = arguments.namespace.as_deref();
    let Some(kind) = &arguments.kind else {
        let reporter = Reporter::new(global, None);
        let objects = files::load(&arguments.files, namespace, &reporter, Verb::Deleted)?;
        return Ok(objects.iter().map(|located| located.object.key()).collect());
    };
    let select = Select {
        kind: kind.clone(),
        names: arguments.names.clone(),
        namespace: arguments.namespace.clone(),
        all_namespaces: false,
    };
    match Target::parse(&select) {
        Ok(Target::Objects(keys)) => Ok(keys),
        Ok(Target::Kinds(_)) => {
            let help = format!("name them, as in `oncilla delete {kind} NAME`");
            print::error("nothing says which objects to delete", Some(&help));
            Err(Exit::CannotJudge)
        }
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            Err(Exit::CannotJudge)
        }
    }
}

/// Removes what can be removed, and says the rest.
async fn remove(client: &Client, arguments: &Delete, keys: &[ObjectKey]) -> Exit {
    let suffix = if arguments.dry_run { " (dry run)" } else { "" };
    let (mut lines, mut failure) = (Vec::new(), None);
    for key in keys {
        let removed = if arguments.dry_run {
            client.dry_run_delete(key).await
        } else {
            client.delete(key, None).await
        };
        match removed {
            Ok(_) => lines.push(format!(
                "{} {:?} deleted{suffix}",
                print::resource(key.kind),
                key.name
            )),
            Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
            Err(error) => {
                let stop = error.status().is_none();
                let exit = say(client, key, error).await;
                if failure != Some(Exit::CannotJudge) {
                    failure = Some(exit);
                }
                if stop {
                    break;
                }
            }
        }
    }
    let printed = print::answer(&lines.join("\n"));
    match failure {
        None => printed,
        Some(_) if !lines.is_empty() => Exit::Partly,
        Some(exit) => exit,
    }
}

async fn say(client: &Client, key: &ObjectKey, error: RestError) -> Exit {
    if !error.is_not_found() {
        return connect::failed(error);
    }
    match target::say_missing(client, key).await {
        Ok(()) => Exit::No,
        Err(error) => connect::failed(error),
    }
}
