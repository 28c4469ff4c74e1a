//! Create, update, patch and delete: from what a client sent to what the store holds.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_store::{Revision, Store, StoreError, StoredObject};
use serde::Deserialize;
use serde_json::Value;

use crate::admission;
use crate::bootstrap::{DEFAULT, ensure_service_account};
use crate::failure::Failure;
use crate::merge::merge;
use crate::metadata::{
    metadata_of, metadata_text, random_suffix, stamp_changed, stamp_new, strip, with_revision,
};
use crate::serve::Clock;
use crate::target::has_status;

/// How often a change without a stated revision is tried again after somebody else's.
const ATTEMPTS_MAX: u32 = 32;

/// What a client sent for an existing object.
#[derive(Debug)]
pub(crate) enum Edit {
    /// The whole new object.
    Replace(Value),
    /// The fields to change.
    Merge(Value),
}

/// Which part of an object a client may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but what the server and the status writers own.
    Main,
    /// The status and nothing else.
    Status,
}

/// The body of a delete.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteOptions {
    preconditions: Preconditions,
    dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// Writes to the store; blocks, so it is called from threads that may.
#[derive(Clone)]
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    clock: Clock,
    /// Held shared by writes that rely on another object being there (a namespace, a tier), and
    /// alone by the removal of such an object.
    gate: Arc<RwLock<()>>,
}

impl Writer {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            gate: Arc::new(RwLock::new(())),
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Stores a new object and returns it as clients see it.
    pub(crate) fn create(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        mut value: Value,
        dry_run: bool,
    ) -> Result<Value, Failure> {
        let key = name_new(kind, namespace, &mut value)?;
        if kind == Kind::Pod {
            // What a pod reports comes from who runs it, never from who asks for it.
            value["status"] = serde_json::json!({ "phase": "Pending" });
        }
        let mut value = validated(&key, value)?;
        if let Some(metadata) = metadata_of(&mut value) {
            stamp_new(metadata, self.now())
                .map_err(|error| Failure::internal(format!("cannot make a uid: {error}")))?;
        }
        let object = {
            let _shared = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            admission::admit_create(&*self.store, &key, &value)?;
            if dry_run {
                self.dry_create(&key, value)?
            } else {
                self.store.create(&key, value)?
            }
        };
        if kind == Kind::Namespace && !dry_run {
            ensure_service_account(self, &key.name)?;
        }
        Ok(with_revision(object))
    }

    /// Changes an object and returns it as clients see it.
    pub(crate) fn edit(
        &self,
        key: &ObjectKey,
        part: Part,
        edit: &Edit,
        dry_run: bool,
    ) -> Result<Value, Failure> {
        for _attempt in 0..ATTEMPTS_MAX {
            let _shared = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            let old = self.store.object(key)?;
            let old = old.ok_or_else(|| Failure::not_found(key))?;
            let (new, stated) = edited(&old, part, edit)?;
            if new == old.value {
                return Ok(with_revision(old));
            }
            admission::admit_update(&*self.store, key, &old.value, &new)?;
            if dry_run {
                return Ok(with_revision(StoredObject { value: new, ..old }));
            }
            match self.store.update(key, Some(old.revision), new) {
                Ok(object) => return Ok(with_revision(object)),
                // The client named no revision: its change also holds for the newer object.
                Err(StoreError::Conflict { .. }) if !stated => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::modified(key))
    }

    /// Removes an object, a namespace with all that is in it, and returns its last value.
    pub(crate) fn delete(
        &self,
        key: &ObjectKey,
        options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<Value, Failure> {
        let dry_run = dry_run || !options.dry_run.is_empty();
        let removed = if matches!(key.kind, Kind::Namespace | Kind::Tier) {
            let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            self.remove(key, options, dry_run)?
        } else {
            self.remove(key, options, dry_run)?
        };
        if key.kind == Kind::ServiceAccount
            && key.name == DEFAULT
            && let Some(namespace) = &key.namespace
            && !dry_run
        {
            ensure_service_account(self, namespace)?;
        }
        Ok(with_revision(removed))
    }

    fn remove(
        &self,
        key: &ObjectKey,
        options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<StoredObject, Failure> {
        let object = self.store.object(key)?;
        let object = object.ok_or_else(|| Failure::not_found(key))?;
        let expected = options.preconditions.check(&object)?;
        admission::admit_delete(&*self.store, key)?;
        if dry_run {
            return Ok(object);
        }
        if key.kind == Kind::Namespace {
            self.empty_namespace(&key.name)?;
        }
        Ok(self.store.delete(key, expected)?)
    }

    /// Policies go last: while a namespace is emptied, nothing in it is less protected.
    fn empty_namespace(&self, namespace: &str) -> Result<(), Failure> {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.namespaced());
        let (policies, others): (Vec<Kind>, Vec<Kind>) = kinds.partition(|kind| {
            matches!(
                kind,
                Kind::NetworkPolicy | Kind::KubernetesNetworkPolicy | Kind::NetworkSet
            )
        });
        for kind in others.into_iter().rev().chain(policies) {
            for object in self.store.list(kind, Some(namespace))?.objects {
                match self.store.delete(&object.key, None) {
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn dry_create(&self, key: &ObjectKey, value: Value) -> Result<StoredObject, Failure> {
        if self.store.object(key)?.is_some() {
            return Err(Failure::already_exists(key));
        }
        Ok(StoredObject {
            key: key.clone(),
            revision: self.store.revision()?,
            value,
        })
    }

    fn now(&self) -> SystemTime {
        (self.clock)()
    }
}

impl Preconditions {
    fn check(&self, object: &StoredObject) -> Result<Option<Revision>, Failure> {
        if let Some(uid) = &self.uid
            && metadata_text(&object.value, "uid") != Some(uid)
        {
            let why = format!("Precondition failed: UID in precondition: {uid}");
            return Err(Failure::conflict(&object.key, &why));
        }
        stated_revision(self.resource_version.as_deref(), object)
    }
}

/// The key of a new object, which is named by its metadata and the path it was sent to.
fn name_new(kind: Kind, namespace: Option<&str>, value: &mut Value) -> Result<ObjectKey, Failure> {
    if kind.namespaced() && namespace.is_none() {
        return Err(Failure::method_not_allowed());
    }
    let metadata = metadata_of(value).ok_or_else(not_an_object)?;
    if metadata.contains_key("resourceVersion") {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(Failure::bad_request(message));
    }
    strip(metadata);
    let text = |field: &str| metadata.get(field).and_then(Value::as_str);
    let name = match (text("name"), text("generateName")) {
        (Some(name), _) if !name.is_empty() => name.to_owned(),
        (_, Some(prefix)) if !prefix.is_empty() => {
            let suffix = random_suffix()
                .map_err(|error| Failure::internal(format!("cannot make a name: {error}")))?;
            format!("{prefix}{suffix}")
        }
        // Validation says that a name is required.
        _ => String::new(),
    };
    if let (Some(namespace), Some(own)) = (namespace, text("namespace"))
        && namespace != own
        && !own.is_empty()
    {
        return Err(other_namespace());
    }
    metadata.insert("name".to_owned(), name.clone().into());
    if let Some(namespace) = namespace {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    Ok(ObjectKey {
        kind,
        namespace: namespace.map(str::to_owned),
        name,
    })
}

/// The object after an edit, validated and with the server's own fields; and whether the client
/// said of which revision it thought.
fn edited(old: &StoredObject, part: Part, edit: &Edit) -> Result<(Value, bool), Failure> {
    let sent = match edit {
        Edit::Replace(value) => value.clone(),
        Edit::Merge(patch) => {
            let mut merged = old.value.clone();
            merge(&mut merged, patch);
            merged
        }
    };
    let stated = stated_revision(metadata_text(&sent, "resourceVersion"), old)?.is_some();
    let new = match part {
        Part::Status => with_status_of(old.value.clone(), &sent),
        Part::Main => same_identity(sent, old)?,
    };
    let mut new = validated(&old.key, new)?;
    stamp_changed(&mut new, &old.value);
    Ok((new, stated))
}

/// The revision a client names, when it names one; a conflict when the object has left it.
fn stated_revision(text: Option<&str>, now: &StoredObject) -> Result<Option<Revision>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let stated: Revision = text.parse().map_err(|_not_a_number| {
        Failure::bad_request(format!("invalid resource version {text:?}: not a number"))
    })?;
    if stated == now.revision {
        Ok(Some(stated))
    } else {
        Err(Failure::modified(&now.key))
    }
}

/// What a client sent, when it is about the same object; the status stays the old one where the
/// kind has a status of its own.
fn same_identity(mut sent: Value, old: &StoredObject) -> Result<Value, Failure> {
    let metadata = metadata_of(&mut sent).ok_or_else(not_an_object)?;
    let text = |field: &str| {
        let text = metadata.get(field).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    if text("name").is_some_and(|name| name != old.key.name) {
        let message = "the name of the object does not match the name on the URL";
        return Err(Failure::bad_request(message));
    }
    if text("namespace").is_some_and(|own| Some(own) != old.key.namespace.as_deref()) {
        return Err(other_namespace());
    }
    if text("uid").is_some_and(|uid| metadata_text(&old.value, "uid") != Some(uid)) {
        let why = "Precondition failed: the UID is that of another object of this name";
        return Err(Failure::conflict(&old.key, why));
    }
    strip(metadata);
    metadata.insert("name".to_owned(), old.key.name.clone().into());
    if let Some(namespace) = &old.key.namespace {
        metadata.insert("namespace".to_owned(), namespace.clone().into());
    }
    if has_status(old.key.kind) {
        return Ok(with_status_of(sent, &old.value));
    }
    Ok(sent)
}

fn with_status_of(mut value: Value, source: &Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        match source.get("status") {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.shift_remove("status"),
        };
    }
    value
}

/// The object in the form in which it is stored: read strictly, defaulted, validated.
fn validated(key: &ObjectKey, mut value: Value) -> Result<Value, Failure> {
    let owned = take_owned(&mut value);
    let mut object =
        Object::from_value(key.kind, value).map_err(|errors| Failure::invalid(key, &errors))?;
    admission::label_namespace(&mut object);
    let mut value = object.to_value();
    if let (Some(metadata), Some(owned)) = (metadata_of(&mut value), owned) {
        metadata.extend(owned);
    }
    Ok(value)
}

/// The server's own fields are none of validation's business.
fn take_owned(value: &mut Value) -> Option<serde_json::Map<String, Value>> {
    let metadata = metadata_of(value)?;
    let before = metadata.clone();
    strip(metadata);
    let mut owned = before;
    owned.retain(|field, _| matches!(field.as_str(), "uid" | "creationTimestamp" | "generation"));
    Some(owned)
}

fn not_an_object() -> Failure {
    Failure::bad_request("the body of the request is not a JSON object with an object `metadata`")
}

fn other_namespace() -> Failure {
    Failure::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    )
}
