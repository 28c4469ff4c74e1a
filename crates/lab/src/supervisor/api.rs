//! The lab's API server, inside the supervisor, and what the supervisor writes through it at the start.

use std::path::Path;
use std::sync::Arc;

use oncilla_api::{Kind, Object, ObjectKey};
use oncilla_apiserver::{BindError, Options, ServeError, bind, serve};
use oncilla_store::MemoryStore;
use oncilla_store::rest::{Client, RestError};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::addresses;
use super::clock;
use super::fabric::NodeNet;

/// Why the objects of a lab could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the API refused {key}")]
    Refused {
        key: ObjectKey,
        #[source]
        source: RestError,
    },
    #[error("an object of the lab is not valid: {message}")]
    Invalid { message: String },
}

/// Starts the server on `socket`. A lab's objects live as long as the lab, so they are kept in memory.
pub(crate) fn start(
    socket: &Path,
    tasks: &mut JoinSet<Result<(), ServeError>>,
) -> Result<Client, ApiError> {
    let listener = bind(socket)?;
    let store = Arc::new(MemoryStore::new());
    let options = Options {
        clock: Arc::new(clock::time_of_day),
    };
    tasks.spawn(serve(store, listener, options, std::future::pending()));
    Ok(Client::unix(socket))
}

/// Creates the lab's nodes.
pub(crate) async fn create_nodes(client: &Client, nodes: &[Arc<NodeNet>]) -> Result<(), ApiError> {
    for node in nodes {
        let key = ObjectKey::cluster(Kind::Node, &node.name);
        let [v4, v6] = node.addresses;
        let blocks = addresses::blocks_of_node(node.number).map(|block| block.to_string());
        let value = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": node.name, "labels": { "kubernetes.io/hostname": node.name } },
            "spec": { "podCIDR": blocks.first(), "podCIDRs": blocks },
        });
        create(client, &key, value).await?;
        let now = clock::timestamp(clock::time_of_day());
        let status = json!({ "status": {
            "addresses": [
                { "type": "InternalIP", "address": v4 },
                { "type": "InternalIP", "address": v6 },
                { "type": "Hostname", "address": node.name },
            ],
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "LabIsRunning", "lastTransitionTime": now,
            }],
        }});
        let patched = client.merge_patch_status(&key, &status).await;
        patched.map_err(|source| ApiError::Refused { key, source })?;
    }
    Ok(())
}

/// Creates objects, what others need first. One that exists already is brought to what is asked for.
pub(crate) async fn apply(
    client: &Client,
    objects: Vec<Value>,
) -> Result<Vec<ObjectKey>, ApiError> {
    let mut keyed = Vec::new();
    for value in objects {
        let object = Object::from_manifest(value.clone()).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let message = texts.join("; ");
            ApiError::Invalid { message }
        })?;
        keyed.push((object.key(), value));
    }
    keyed.sort_by_key(|(key, _)| rank(key.kind));
    let mut keys = Vec::new();
    for (key, value) in keyed {
        create(client, &key, value).await?;
        keys.push(key);
    }
    Ok(keys)
}

async fn create(client: &Client, key: &ObjectKey, value: Value) -> Result<(), ApiError> {
    let written = match client.create(key, &value).await {
        Err(error) if error.is_already_exists() => client.merge_patch(key, &value).await,
        other => other,
    };
    let refused = |source| ApiError::Refused {
        key: key.clone(),
        source,
    };
    written.map(drop).map_err(refused)
}

/// Pods last: what applies to them is known before they have addresses.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Namespace => 0,
        Kind::Node
        | Kind::ServiceAccount
        | Kind::Tier
        | Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::IPPool
        | Kind::Profile => 1,
        Kind::Service
        | Kind::EndpointSlice
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::GlobalNetworkPolicy
        | Kind::NetworkPolicy
        | Kind::KubernetesNetworkPolicy
        | Kind::ClusterNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy => 2,
        Kind::HostEndpoint | Kind::WorkloadEndpoint | Kind::Pod => 3,
    }
}

/// Whether the object of a request is gone, which whoever follows it will hear anyway.
pub(crate) fn is_gone(error: &RestError) -> bool {
    error.is_not_found()
}
