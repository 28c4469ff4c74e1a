//! One object of any supported kind, and its key.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::field::{FieldError, Partial, decode_strict};
use crate::kind::Kind;
use crate::meta::ObjectMeta;
use crate::{discovery, k8s, npa, v1, v3};

/// What tells an object from every other: unique in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for cluster-scoped kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object in a namespace.
    pub fn namespaced(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// The key of an object of the whole cluster.
    pub fn cluster(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: None,
            name: name.into(),
        }
    }

    /// `namespace/name`, or the name alone for cluster-scoped kinds.
    pub fn path(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// `NetworkPolicy production/deny`, `Tier security`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.path())
    }
}

macro_rules! objects {
    ($($(#[$doc:meta])* $variant:ident($type:ty)),* $(,)?) => {
        /// One object of a supported kind. Serialises with `apiVersion` and `kind` in front, and reads
        /// back from the same form.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $($(#[$doc])* $variant($type)),*
        }

        impl Object {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$variant(_) => Kind::$variant),*
                }
            }

            /// The metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$variant(object) => &object.metadata),*
                }
            }

            /// The metadata, to change it.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$variant(object) => &mut object.metadata),*
                }
            }

            /// The fields in JSON form, without `apiVersion` and `kind`.
            fn fields(&self) -> Result<Value, serde_json::Error> {
                match self {
                    $(Self::$variant(object) => serde_json::to_value(object)),*
                }
            }

            /// Reads the fields of an object, without defaulting and without validating it.
            ///
            /// # Errors
            /// Every field that is unknown, missing or of the wrong type.
            pub fn decode(kind: Kind, value: Value) -> Result<Self, Vec<FieldError>> {
                let partial = Self::decode_partial(kind, strip_type(kind, value)?);
                match partial.object {
                    Some(object) if partial.errors.is_empty() => Ok(object),
                    _ => Err(partial.errors),
                }
            }

            /// Reads as much of an object's fields as possible.
            fn decode_partial(kind: Kind, value: Value) -> Partial<Self> {
                match kind {
                    $(Kind::$variant => decode_strict(value).map(Self::$variant)),*
                }
            }
        }

        $(
            impl From<$type> for Object {
                fn from(object: $type) -> Self {
                    Self::$variant(object)
                }
            }
        )*
    };
}

objects! {
    /// A namespace.
    Namespace(v1::Namespace),
    /// A node.
    Node(v1::Node),
    /// A service account.
    ServiceAccount(v1::ServiceAccount),
    /// A service.
    Service(v1::Service),
    /// Endpoints of a service.
    EndpointSlice(discovery::EndpointSlice),
    /// A tier.
    Tier(v3::Tier),
    /// What the cluster says of itself.
    ClusterInformation(v3::ClusterInformation),
    /// How nodes treat packets.
    FelixConfiguration(v3::FelixConfiguration),
    /// Addresses that workloads get.
    IPPool(v3::IPPool),
    /// Labels and rules that endpoints share.
    Profile(v3::Profile),
    /// Addresses for the whole cluster.
    GlobalNetworkSet(v3::GlobalNetworkSet),
    /// Addresses of one namespace.
    NetworkSet(v3::NetworkSet),
    /// A Calico policy of the whole cluster.
    GlobalNetworkPolicy(v3::GlobalNetworkPolicy),
    /// A Calico policy of one namespace.
    NetworkPolicy(v3::NetworkPolicy),
    /// A Kubernetes network policy.
    KubernetesNetworkPolicy(k8s::NetworkPolicy),
    /// A Kubernetes network policy of the whole cluster.
    ClusterNetworkPolicy(npa::ClusterNetworkPolicy),
    /// A Calico policy of the whole cluster that is not enforced.
    StagedGlobalNetworkPolicy(v3::StagedGlobalNetworkPolicy),
    /// A Calico policy of one namespace that is not enforced.
    StagedNetworkPolicy(v3::StagedNetworkPolicy),
    /// A Kubernetes network policy that is not enforced.
    StagedKubernetesNetworkPolicy(v3::StagedKubernetesNetworkPolicy),
    /// An interface of a node.
    HostEndpoint(v3::HostEndpoint),
    /// A workload's interface.
    WorkloadEndpoint(v3::WorkloadEndpoint),
    /// A pod.
    Pod(v1::Pod),
}

impl Object {
    /// The key. Only meaningful once defaulted: before, a namespaced object may lack its namespace.
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey {
            kind: self.kind(),
            namespace: metadata
                .namespace
                .clone()
                .filter(|_| self.kind().namespaced()),
            name: metadata.name.clone(),
        }
    }

    /// Reads an object, fills in the defaults and validates it: what comes out is what the engine may use.
    /// Reading the result of [`Object::to_value`] gives an equal object.
    ///
    /// # Errors
    /// Everything that is wrong, each with its field path.
    pub fn from_value(kind: Kind, value: Value) -> Result<Self, Vec<FieldError>> {
        let checked = Self::check(kind, value);
        match checked.object {
            Some(object) if checked.errors.is_empty() => Ok(object),
            _ => Err(checked.errors),
        }
    }

    /// [`Object::from_value`] with the warnings, and the defaulted object even when it is faulty.
    pub(crate) fn check(kind: Kind, value: Value) -> Checked {
        let mut partial = match strip_type(kind, value) {
            Ok(value) => Self::decode_partial(kind, value),
            Err(errors) => {
                return Checked {
                    object: None,
                    errors,
                    warnings: Vec::new(),
                };
            }
        };
        let mut object = partial.object.take();
        // Warnings speak of what was written, so they come before defaulting.
        let warnings = object.as_ref().map(Self::warnings).unwrap_or_default();
        let mut found = Vec::new();
        if let Some(object) = &mut object {
            object.default_fields();
            found = object.validate();
        }
        Checked {
            object,
            errors: partial.with_validation(found),
            warnings,
        }
    }

    /// Reads an object whose `apiVersion` and `kind` say what it is, as [`Object::from_value`] does.
    ///
    /// # Errors
    /// Everything that is wrong, each with its field path.
    pub fn from_manifest(value: Value) -> Result<Self, Vec<FieldError>> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let kind = Kind::of_manifest(text(API_VERSION), text(KIND))
            .map_err(|error| vec![FieldError::new(KIND, error.to_string())])?;
        Self::from_value(kind, value)
    }

    /// The object in JSON form, `apiVersion` and `kind` first.
    pub fn to_value(&self) -> Value {
        let kind = self.kind();
        let mut object = Map::new();
        object.insert(API_VERSION.to_owned(), kind.api_version().into());
        object.insert(KIND.to_owned(), kind.kind_name().into());
        let fields = self
            .fields()
            .expect("objects hold only texts, numbers, lists and maps with text keys");
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        Value::Object(object)
    }
}

/// What was found when an object was read.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The defaulted object, without faulty fields; only usable when there are no errors.
    pub(crate) object: Option<Object>,
    /// Everything that is wrong.
    pub(crate) errors: Vec<FieldError>,
    /// What is meant slightly differently from what is written.
    pub(crate) warnings: Vec<FieldError>,
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_manifest(value).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            serde::de::Error::custom(texts.join("; "))
        })
    }
}

const API_VERSION: &str = "apiVersion";
const KIND: &str = "kind";

/// Takes `apiVersion` and `kind` away, when they are there, and checks that they name this kind.
fn strip_type(kind: Kind, mut value: Value) -> Result<Value, Vec<FieldError>> {
    let Value::Object(fields) = &mut value else {
        return Err(vec![FieldError::new("", "expected an object")]);
    };
    let mut errors = Vec::new();
    for (field, expected) in [(API_VERSION, kind.api_version()), (KIND, kind.kind_name())] {
        match fields.shift_remove(field) {
            Some(found) if found != expected => errors.push(FieldError::new(
                field,
                format!("expected {expected:?}, found {found}"),
            )),
            Some(_) | None => {}
        }
    }
    if errors.is_empty() {
        Ok(value)
    } else {
        Err(errors)
    }
}
