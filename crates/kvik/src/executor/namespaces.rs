//! Whether a command may store its keys in their namespaces: asked with the stripes held, before
//! the command has had any effect.

use std::sync::Arc;

use kvik_command::Error;
use kvik_command::declare::{Command, Flags, KeyFlags};
use kvik_resp::Args;
use kvik_store::{DEFAULT_NAMESPACE, Guard, Namespace, Namespaces, named_in};

/// Lets a command make the namespaces of the keys that it may make. They stay at least as long as
/// what is returned.
///
/// # Errors
/// If there are as many namespaces as the setting allows.
#[inline(never)]
pub(super) fn admit(
    namespaces: &Namespaces,
    max: u64,
    guard: &mut Guard<'_>,
    command: &Command,
    args: Args<'_>,
) -> Result<Vec<Arc<Namespace>>, Error> {
    let (mut made, mut refusal) = (Vec::new(), None);
    let may_grow = command.flags().contains(Flags::DENYOOM);
    let visit = |at: usize, flags: KeyFlags| {
        let makes = flags.intersects(KeyFlags::INSERT | KeyFlags::OW)
            || may_grow && flags.contains(KeyFlags::RW);
        if !makes || guard.namespace_of(&args[at]).is_some() {
            return;
        }
        let name = named_in(&args[at]).unwrap_or(DEFAULT_NAMESPACE);
        match namespaces.admit(guard.keyspace(), name, max) {
            Ok(namespace) => made.push(namespace),
            Err(_) => refusal = Some(too_many(max, name)),
        }
    };
    // Keys that cannot be told from the words the handler refuses.
    let _ = command.for_each_key(args, visit);
    refusal.map_or(Ok(made), Err)
}

/// Why there is no namespace with this name.
pub(crate) fn too_many(max: u64, name: &[u8]) -> Error {
    let max = max.to_string();
    Error::quoting(&[
        b"cannot create namespace '",
        name,
        b"': max-namespaces is ",
        max.as_bytes(),
    ])
}
