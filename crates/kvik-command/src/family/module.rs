//! MODULE: there are no modules, which MODULE LIST says.

use super::command::help;
use crate::declare::{Command, Group, Row};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    vec![
        Command::container("MODULE")
            .group(Group::Server)
            .since("4.0.0")
            .complexity("Depends on subcommand.")
            .about("Commands about modules."),
        Command::new("MODULE LIST", "", list)
            .group(Group::Server)
            .admin()
            .noscript()
            .since("4.0.0")
            .complexity("O(N) where N is the number of loaded modules.")
            .tips(&["nondeterministic_output_order"])
            .about("Returns the loaded modules, of which there are none."),
        help("MODULE HELP").since("5.0.0"),
    ]
}

fn list(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.array(0);
    Ok(())
}
