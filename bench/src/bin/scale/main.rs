//! One dataset, taken in by one node, in a process of its own: `oncilla-bench-scale DATASET` prints one line of JSON.
//! `oncilla-bench` runs it for each dataset.
//!
//! The clock runs over what a node does with decoded objects: conversion, `resolve`, `compile`, up to the complete
//! program; and then, as in the competitor's bench, over the end of all local pods (not for `isolated`). Left out: reading
//! and decoding the objects, and the kernel. The heap is what the allocator's counter says afterwards, with the objects
//! given back and the state alive.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is this program's job"
)]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod check;
mod dataset;

use std::alloc::System;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cap::Cap;
use oncilla_api::{Object, ObjectKey};
use oncilla_compile::Compiler;
use oncilla_model::{Change, Converter};
use oncilla_program::Settings;
use oncilla_resolve::{Adoption, Limits, Resolver};
use serde_json::{Value, json};

use crate::dataset::{Dataset, NODE};

/// Objects that are converted before they are handed on: as many as a page of a list from the API has.
const PIECE_OBJECTS: usize = 500;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match Dataset::named(&name).and_then(measure) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(dataset: Dataset) -> anyhow::Result<Value> {
    let objects = dataset.objects()?;
    let (given, before) = (objects.len(), HEAP.total_allocated());
    let started = Instant::now();
    let converter = Converter::default();
    let limits = Limits {
        mask: Settings::default().mask,
    };
    let mut resolver = Resolver::new(NODE, limits);
    let mut converting = Duration::ZERO;
    for piece in objects.chunks(PIECE_OBJECTS) {
        let begun = Instant::now();
        let changes = piece.iter().map(|object| converter.convert(object));
        let changes: Vec<Vec<Change>> = changes.collect::<Result<_, _>>()?;
        converting += begun.elapsed();
        for changes in changes {
            resolver.take(&changes);
        }
    }
    let adoption = Adoption {
        class_of: &|_| None,
        used: BTreeSet::new(),
    };
    let delta = resolver.load(&[], &adoption, 0)?;
    let resolved = started.elapsed();
    let mut compiler = Compiler::new(Settings::default());
    compiler.apply(&resolver, &delta);
    let took = started.elapsed();
    ensure!(
        compiler.program().endpoints.len() == dataset.locals(),
        "local pods are missing"
    );
    let allocated = HEAP.total_allocated() - before;
    drop(delta);
    let checked = check::check(dataset, &objects, compiler.program())?;
    let locals = local_pods(&objects);
    drop(objects);
    let heap = HEAP.allocated();
    let ending = Instant::now();
    let ends: Vec<Change> = locals
        .iter()
        .flat_map(|key| converter.removed(key))
        .collect();
    let delta = resolver.apply(&ends, 1)?;
    compiler.apply(&resolver, &delta);
    let ended = ending.elapsed();
    ensure!(
        compiler.program().endpoints.is_empty(),
        "local pods are left"
    );
    Ok(json!({
        "objects": given,
        "seconds": took.as_secs_f64(),
        "seconds_convert": converting.as_secs_f64(),
        "seconds_resolve": resolved.saturating_sub(converting).as_secs_f64(),
        "seconds_compile": took.saturating_sub(resolved).as_secs_f64(),
        "seconds_locals_end": ended.as_secs_f64(),
        "heap_bytes": heap,
        "peak_bytes": HEAP.max_allocated(),
        "allocated_bytes": allocated,
        "checked": checked.packets,
        "allowed": checked.allowed,
        "resident_bytes": resident().context("/proc/self/status has no VmRSS")?,
    }))
}

fn local_pods(objects: &[Object]) -> Vec<ObjectKey> {
    let is_local = |object: &&Object| match object {
        Object::Pod(pod) => pod.spec.node_name == NODE,
        _ => false,
    };
    objects.iter().filter(is_local).map(Object::key).collect()
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
