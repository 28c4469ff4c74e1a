//! `oncilla agent`: enforces policy on this node until it is told to stop.

use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use oncilla_agent::{EndpointToHost, Options, TableOwner};
use oncilla_net::MarkMask;

use crate::args::{Agent, Global, HostAction, When};
use crate::exit::Exit;
use crate::logging;
use crate::signals;

/// Where the API server listens when nobody says otherwise.
const SERVER: &str = "/run/oncilla/api.sock";

/// Runs the agent, or removes its table.
pub(crate) fn run(global: &Global, arguments: &Agent) -> Exit {
    logging::start(global, colour(global));
    match attempt(global, arguments) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::CannotJudge
        }
    }
}

fn attempt(global: &Global, arguments: &Agent) -> Result<()> {
    if arguments.remove {
        oncilla_agent::remove()?;
        tracing::info!("the table oncilla is gone; nothing is enforced");
        return Ok(());
    }
    let options = options(global, arguments)?;
    oncilla_agent::run(options, signals::told_to_stop())?;
    Ok(())
}

fn options(global: &Global, arguments: &Agent) -> Result<Options> {
    let Some(node) = &arguments.node else {
        bail!("--node is missing: name this node, as in `oncilla agent --node n1`");
    };
    if let Some(lab) = &global.lab {
        bail!("--lab {lab}: a lab runs its own agents; name a socket with --server instead");
    }
    let server = global
        .server
        .clone()
        .unwrap_or_else(|| PathBuf::from(SERVER));
    let mask = mask(&arguments.mark_mask)
        .with_context(|| format!("--mark-mask {}", arguments.mark_mask))?;
    let node = node.parse().context("--node")?;
    let mut options = Options::new(node, server);
    let prefixes = arguments.interface_prefix.parse();
    options.interface_prefixes = prefixes.context("--interface-prefix")?;
    options.mark_mask = mask;
    options.endpoint_to_host = match arguments.endpoint_to_host {
        HostAction::Drop => EndpointToHost::Drop,
        HostAction::Accept => EndpointToHost::Accept,
        HostAction::Return => EndpointToHost::Return,
    };
    options.table_owner = match arguments.table_owner {
        When::Auto => TableOwner::Auto,
        When::On => TableOwner::On,
        When::Off => TableOwner::Off,
    };
    options.keep_established = arguments.keep_established;
    Ok(options)
}

pub(crate) fn mask(text: &str) -> Result<MarkMask> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let bits = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let bits = bits.with_context(|| "expected a 32-bit number, as in 0xffff0000".to_owned())?;
    Ok(MarkMask::new(bits)?)
}

/// Whether log lines have colours.
pub(crate) fn colour(global: &Global) -> bool {
    let choice = anstream::AutoStream::choice(&io::stderr());
    !global.no_color && choice != anstream::ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn a_mask_is_hexadecimal_or_decimal_and_one_run() {
        assert_eq!(mask("0xff0000").unwrap().bits(), 0xff_0000);
        assert_eq!(mask("65280").unwrap().bits(), 0xff00);
        for (text, message) in [
            ("0xff00ff00", "not contiguous"),
            ("0x7f", "at least 8"),
            ("blue", "expected a 32-bit number"),
            ("0x1ffff0000", "expected a 32-bit number"),
        ] {
            let error = format!("{:#}", mask(text).unwrap_err());
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
