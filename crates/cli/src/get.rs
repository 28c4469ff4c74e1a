//! `oncilla get`: prints objects as tables, names, JSON or YAML.

mod rows;

use std::time::SystemTime;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_store::StoredObject;
use oncilla_store::rest::{Client, RestError};
use serde_json::Value;

use crate::args::{Format, Get, Global};
use crate::connect;
use crate::exit::Exit;
use crate::print;
use crate::target::{self, DEFAULT_NAMESPACE, Target};

pub(crate) use rows::{age, label_selector, order, pairs, pod_addresses, types};

/// Runs `get`.
pub(crate) fn run(global: &Global, arguments: &Get) -> Exit {
    let target = match Target::parse(&arguments.select) {
        Ok(target) => target,
        Err(error) => {
            print::error(&format!("{error:#}"), None);
            return Exit::CannotJudge;
        }
    };
    connect::with_client(global, async |client| {
        match answer(global, arguments, client, &target).await {
            Ok(exit) => exit,
            Err(error) => connect::failed(error),
        }
    })
}

async fn answer(
    global: &Global,
    arguments: &Get,
    client: &Client,
    target: &Target,
) -> Result<Exit, RestError> {
    let select = &arguments.select;
    let namespace = select.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let namespace = (!select.all_namespaces).then_some(namespace);
    let found = find(client, target, namespace).await?;
    let shape = Shape {
        output: arguments.output,
        is_across: select.all_namespaces,
        is_single: matches!(target, Target::Objects(keys) if keys.len() == 1),
    };
    if found.objects.is_empty() && !found.has_missing && !shape.is_structured() {
        if !global.quiet {
            say_empty(target, namespace);
        }
        return Ok(Exit::Done);
    }
    let printed = if found.objects.is_empty() && found.has_missing {
        Exit::Done
    } else {
        shape.print(found.objects)
    };
    Ok(if found.has_missing && printed == Exit::Done {
        Exit::No
    } else {
        printed
    })
}

/// Says that there is nothing.
pub(crate) fn say_empty(target: &Target, namespace: Option<&str>) {
    let Target::Kinds(kinds) = target else { return };
    print::note(&match namespace {
        Some(namespace) if kinds.iter().any(|kind| kind.namespaced()) => {
            format!("No resources found in {namespace} namespace.")
        }
        _ => "No resources found.".to_owned(),
    });
}

/// What a target turned out to be.
#[derive(Debug)]
pub(crate) struct Found {
    /// The objects, kind by kind.
    pub(crate) objects: Vec<StoredObject>,
    /// Whether some that were named do not exist; that was said.
    pub(crate) has_missing: bool,
}

/// Reads what a target means, and says what does not exist.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) async fn find(
    client: &Client,
    target: &Target,
    namespace: Option<&str>,
) -> Result<Found, RestError> {
    let mut found = Found {
        objects: Vec::new(),
        has_missing: false,
    };
    match target {
        Target::Kinds(kinds) => {
            for kind in kinds {
                let list = client.list(&target::collection(*kind, namespace)).await?;
                found.objects.extend(list.objects);
            }
        }
        Target::Objects(keys) => {
            for key in keys {
                match client.object(key).await {
                    Ok(object) => found.objects.push(object),
                    Err(error) if error.is_not_found() => {
                        found.has_missing = true;
                        target::say_missing(client, key).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(found)
}

/// How objects are printed.
struct Shape {
    output: Option<Format>,
    is_across: bool,
    is_single: bool,
}

impl Shape {
    fn is_structured(&self) -> bool {
        matches!(self.output, Some(Format::Json | Format::Yaml))
    }

    fn print(&self, objects: Vec<StoredObject>) -> Exit {
        let text = match self.output {
            Some(Format::Json) => print::json(&self.whole(objects)),
            Some(Format::Yaml) => print::yaml(&self.whole(objects)),
            Some(Format::Name) => {
                let names: Vec<String> = objects.iter().map(|one| print::name(&one.key)).collect();
                Ok(names.join("\n"))
            }
            Some(Format::Wide) | None => Ok(self.tables(&objects)),
        };
        match text {
            Ok(text) => print::answer(&text),
            Err(error) => {
                print::error(&format!("{error:#}"), None);
                Exit::CannotJudge
            }
        }
    }

    fn whole(&self, objects: Vec<StoredObject>) -> Value {
        let mut values: Vec<Value> = objects.into_iter().map(with_type).collect();
        match values.pop() {
            Some(only) if self.is_single && values.is_empty() => only,
            last => {
                values.extend(last);
                print::list(values)
            }
        }
    }

    fn tables(&self, objects: &[StoredObject]) -> String {
        let mut kinds: Vec<Kind> = Vec::new();
        for object in objects {
            if !kinds.contains(&object.key.kind) {
                kinds.push(object.key.kind);
            }
        }
        let is_mixed = kinds.len() > 1;
        let tables = kinds
            .iter()
            .map(|kind| self.table(*kind, objects, is_mixed));
        tables.collect::<Vec<_>>().join("\n\n")
    }

    fn table(&self, kind: Kind, all: &[StoredObject], is_mixed: bool) -> String {
        let objects = all.iter().filter(|object| object.key.kind == kind);
        let is_wide = self.output == Some(Format::Wide);
        let with_namespace = self.is_across && kind.namespaced();
        let mut header = rows::header(kind, is_wide);
        if with_namespace {
            header.insert(0, "NAMESPACE");
        }
        let now = now();
        let rows = objects.map(|object| {
            let mut cells = match read(object) {
                Some(read) => rows::cells(&read, is_wide, now),
                // Another version of oncilla wrote it; its name is still worth a line.
                None => vec![object.key.name.clone()],
            };
            if is_mixed && let Some(name) = cells.first_mut() {
                *name = print::name(&object.key);
            }
            if with_namespace {
                cells.insert(0, object.key.namespace.clone().unwrap_or_default());
            }
            cells
        });
        print::table(&header, &rows.collect::<Vec<_>>())
    }
}

/// The object as this version understands it.
pub(crate) fn read(object: &StoredObject) -> Option<Object> {
    Object::decode(object.key.kind, object.value.clone()).ok()
}

/// The object's JSON form; items of a list may lack what they are.
fn with_type(object: StoredObject) -> Value {
    let StoredObject {
        key: ObjectKey { kind, .. },
        value,
        ..
    } = object;
    let Value::Object(fields) = value else {
        return value;
    };
    let mut typed = serde_json::Map::new();
    typed.insert("apiVersion".to_owned(), kind.api_version().into());
    typed.insert("kind".to_owned(), kind.kind_name().into());
    typed.extend(fields);
    Value::Object(typed)
}

/// The time of day, for ages.
#[expect(
    clippy::disallowed_methods,
    reason = "ages are measured by the time of day"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
