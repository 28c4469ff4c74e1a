//! `oncilla delete`: removes objects by name or from files.

use oncilla_api::{Kind, ObjectKey};
use oncilla_store::rest::{Client, RestError};

use crate::args::{Delete, Global, Select};
use crate::connect;
use crate::diagnostics::{Reporter, Verb};
use crate::exit::Exit;
use crate::files;
use crate::print;
use crate::signals::Stop;
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

/// What came of deleting so far.
#[derive(Debug)]
struct Removal {
    done: usize,
    failure: Option<Exit>,
    /// What came of printing: after a failure nothing more is printed, and all is deleted nevertheless.
    printed: Exit,
}

/// Removes what can be removed, and says each at once, and the rest.
async fn remove(client: &Client, arguments: &Delete, keys: &[ObjectKey]) -> Exit {
    let mut stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(error) => {
            print::error(&format!("cannot listen to signals: {error}"), None);
            return Exit::CannotJudge;
        }
    };
    let mut removal = Removal {
        done: 0,
        failure: None,
        printed: Exit::Done,
    };
    for (index, key) in keys.iter().enumerate() {
        if stop.has_come().await {
            return removal.interrupted(keys, index);
        }
        let one = async {
            if arguments.dry_run {
                client.dry_run_delete(key).await
            } else {
                client.delete(key, None).await
            }
        };
        let Some(removed) = stop.unless_told_twice(one).await else {
            print::note(&format!(
                "the server had not answered about {}",
                print::name(key)
            ));
            return removal.interrupted(keys, index);
        };
        match removed {
            Ok(_) => removal.deleted(key, arguments.dry_run),
            Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
            Err(error) => {
                let stop = error.status().is_none();
                let exit = say(client, key, error).await;
                if removal.failure != Some(Exit::CannotJudge) {
                    removal.failure = Some(exit);
                }
                if stop {
                    break;
                }
            }
        }
    }
    match removal.failure {
        None => removal.printed,
        Some(_) if removal.done > 0 => Exit::Partly,
        Some(exit) => exit,
    }
}
impl Removal {
    fn deleted(&mut self, key: &ObjectKey, is_pretended: bool) {
        let suffix = if is_pretended { " (dry run)" } else { "" };
        let resource = print::resource(key.kind);
        if self.printed == Exit::Done {
            self.printed = print::answer(&format!("{resource} {:?} deleted{suffix}", key.name));
        }
        self.done += 1;
    }

    fn interrupted(&self, keys: &[ObjectKey], next: usize) -> Exit {
        let left = keys.get(next..).unwrap_or_default();
        let left = print::names(left);
        print::note(&match self.done {
            0 => "interrupted: nothing was deleted".to_owned(),
            done => format!(
                "interrupted: {done} of {} objects were deleted; not tried: {left}",
                keys.len()
            ),
        });
        Exit::Interrupted
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
