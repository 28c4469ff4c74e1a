//! `discovery.k8s.io/v1`: which addresses and ports stand behind a service. What policy does not use is kept verbatim.

use serde::{Deserialize, Serialize};

use crate::meta::{ObjectMeta, TransportProtocol};
use crate::v1::Rest;

/// The label that names the service of a slice.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Some of the endpoints of a service; the service is named by the label [`SERVICE_NAME_LABEL`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Name, namespace and labels.
    pub metadata: ObjectMeta,
    /// `IPv4`, `IPv6` or `FQDN` once validated.
    pub address_type: String,
    /// The endpoints; `None` is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<SliceEndpoint>>,
    /// The ports of every endpoint; `None` is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<SlicePort>>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One endpoint of a slice. Whether it is ready is in `rest`: policy does not ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SliceEndpoint {
    /// Its addresses, or names when the slice's type is `FQDN`.
    pub addresses: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One port of every endpoint of a slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlicePort {
    /// The name; `None` when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The port, 1 to 65535 once validated; `None`: policy means no port by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// The protocol; `None` when not given (defaulting says TCP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TransportProtocol>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}
