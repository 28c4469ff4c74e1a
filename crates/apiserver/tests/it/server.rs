//! A server on a fresh socket, and raw requests to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use oncilla_api::{Kind, ObjectKey};
use oncilla_apiserver::{Options, bind, serve};
use oncilla_store::rest::Client;
use oncilla_store::{MemoryStore, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A running server; it ends when this is dropped.
pub(crate) struct Served {
    pub(crate) store: Arc<dyn Store>,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
    pub(crate) runtime: Runtime,
}

pub(crate) fn options() -> Options {
    Options {
        clock: Arc::new(|| UNIX_EPOCH + Duration::from_hours(500_000)),
    }
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut served = Self {
            store,
            folder: tempfile::tempdir().unwrap(),
            stop: None,
            tasks: JoinSet::new(),
            runtime,
        };
        served.start();
        served
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    pub(crate) fn client(&self) -> Client {
        Client::unix(&self.socket())
    }

    pub(crate) fn start(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let listener = self
            .runtime
            .block_on(async { bind(&self.socket()) })
            .unwrap();
        let store = Arc::clone(&self.store);
        self.stop = Some(stop);
        let serving = async move {
            let stop = async move { drop(stopped.await) };
            serve(store, listener, options(), stop).await.unwrap();
        };
        self.tasks.spawn_on(serving, self.runtime.handle());
        self.runtime.block_on(async {
            let ready = self.client().read_text("/readyz").await;
            assert_eq!(ready.unwrap(), "ok");
        });
    }

    /// Ends the server in good order and waits for its end.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        self.runtime.block_on(async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap();
            }
        });
    }

    /// Sends one request as text and returns the status code and the JSON of the answer.
    pub(crate) fn send(&self, line: &str, kind: Option<&str>, body: &str) -> (u16, Value) {
        let mut request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if let Some(kind) = kind {
            request.push_str("Content-Type: ");
            request.push_str(kind);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.send_bytes(request.as_bytes())
    }

    pub(crate) fn send_bytes(&self, request: &[u8]) -> (u16, Value) {
        let answer = self.runtime.block_on(async {
            let mut stream = UnixStream::connect(self.socket()).await.unwrap();
            stream.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        (code, body)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.send(&format!("GET {path}"), None, "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        self.send(&format!("POST {path}"), Some("application/json"), &body)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        self.send(&format!("PUT {path}"), Some("application/json"), &body)
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let kind = Some("application/merge-patch+json");
        self.send(&format!("PATCH {path}"), kind, &body)
    }

    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        self.send(&format!("DELETE {path}"), None, "")
    }

    /// Sends a request that must succeed.
    pub(crate) fn made(&self, path: &str, body: &Value) -> Value {
        let (code, answer) = self.post(path, body);
        assert_eq!(code, 201, "{answer}");
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.runtime
            .block_on(async { while self.tasks.join_next().await.is_some() {} });
    }
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    })
}

pub(crate) fn set_key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(Kind::NetworkSet, "default", name)
}

pub(crate) fn set(name: &str, net: &str) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkSet",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "nets": [net] },
    })
}

pub(crate) const SETS: &str = "/apis/projectcalico.org/v3/namespaces/default/networksets";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
