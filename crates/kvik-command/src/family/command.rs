//! COMMAND: the table describes itself.

use crate::declare::{Category, Command, Flags, Group, KeyFlags, Row, table};
use crate::glob::glob_match;
use crate::{Ctx, Error, Handler};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Server)
            .also(Category::CONNECTION)
            .loading()
            .stale()
    };
    const UNORDERED: &[&str] = &["nondeterministic_output_order"];
    vec![
        command("COMMAND", "", all)
            .arity(-1)
            .since("2.8.13")
            .complexity("O(N) where N is the number of commands")
            .tips(UNORDERED)
            .about("Describes all commands."),
        command("COMMAND COUNT", "", count)
            .since("2.8.13")
            .complexity("O(1)")
            .about("Returns the number of commands."),
        command("COMMAND DOCS", "[command-name [command-name ...]]", docs)
            .since("7.0.0")
            .complexity("O(N) where N is the number of commands to document")
            .tips(UNORDERED)
            .about("Documents the named commands, or all."),
        command("COMMAND GETKEYS", "command [arg [arg ...]]", getkeys)
            .since("2.8.13")
            .complexity("O(N) where N is the number of words of the given command")
            .about("Returns the keys in a full command."),
        command(
            "COMMAND GETKEYSANDFLAGS",
            "command [arg [arg ...]]",
            getkeysandflags,
        )
        .since("7.0.0")
        .complexity("O(N) where N is the number of words of the given command")
        .about("Returns the keys in a full command and what it does to them."),
        command("COMMAND INFO", "[command-name [command-name ...]]", info)
            .since("2.8.13")
            .complexity("O(N) where N is the number of commands to describe")
            .changed("7.0.0", "Describes all commands when none is named.")
            .tips(UNORDERED)
            .about("Describes the named commands, or all."),
        command("COMMAND LIST", LIST_SYNTAX, list)
            .since("7.0.0")
            .complexity("O(N) where N is the number of commands")
            .tips(UNORDERED)
            .about("Returns the names of all commands, or of those that a filter lets through."),
        help("COMMAND HELP")
            .also(Category::CONNECTION)
            .since("5.0.0"),
    ]
}

const LIST_SYNTAX: &str = "[FILTERBY <MODULE module-name|ACLCAT category|PATTERN pattern>]";

/// The row of a HELP subcommand: its reply follows from the rows of its siblings.
pub(super) fn help(name: &'static str) -> Row {
    Command::new(name, "", print_help)
        .loading()
        .stale()
        .complexity("O(1)")
        .about("Prints this help.")
}

fn print_help(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let container = table().container(ctx.command).unwrap_or(ctx.command);
    let lines = table().help(container);
    ctx.reply.array(lines.len());
    lines.iter().for_each(|line| ctx.reply.simple(line));
    Ok(())
}

fn all(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.array(table().top_level().count());
    for command in table().top_level() {
        table().write_info(command, &mut ctx.reply);
    }
    Ok(())
}

fn count(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.integer(table().top_level().count() as i64);
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let names = ctx.args.tail(2);
    if names.is_empty() {
        return all(ctx);
    }
    ctx.reply.array(names.len());
    for name in names {
        match table().find(name) {
            Some(command) => table().write_info(command, &mut ctx.reply),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn docs(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let names = ctx.args.tail(2);
    let documented: Vec<&Command> = match names.len() {
        0 => table().top_level().collect(),
        _ => names.iter().filter_map(|name| table().find(name)).collect(),
    };
    ctx.reply.map(documented.len());
    for command in documented {
        ctx.reply.bulk_str(command.full_name());
        table().write_docs(command, &mut ctx.reply);
    }
    Ok(())
}

fn getkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = keys_of_call(ctx)?;
    ctx.reply.array(keys.len());
    keys.iter().for_each(|(key, _)| ctx.reply.bulk(key));
    Ok(())
}

fn getkeysandflags(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = keys_of_call(ctx)?;
    ctx.reply.array(keys.len());
    for (key, access) in keys {
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        ctx.reply.set(access.names().count());
        access.names().for_each(|name| ctx.reply.simple(name));
    }
    Ok(())
}

/// The keys of the command that the words after the subcommand are.
fn keys_of_call<'a>(ctx: &Ctx<'a>) -> Result<Vec<(&'a [u8], KeyFlags)>, Error> {
    let call = ctx.args.tail(2);
    let command = table()
        .resolve(call)
        .map_err(|_| Error::text("Invalid command specified"))?;
    if !command.has_keys() {
        return Err(Error::text("The command has no key arguments"));
    }
    if !command.accepts(call.len()) {
        return Err(Error::text(
            "Invalid number of arguments specified for command",
        ));
    }
    let mut keys = Vec::new();
    let found = command.for_each_key(call, |at, declared| {
        keys.extend(
            call.get(at)
                .map(|key| (key, command.access_in(call, declared))),
        );
    });
    match found {
        Ok(()) if !keys.is_empty() => Ok(keys),
        _ if command.flags().contains(Flags::NO_MANDATORY_KEYS) => Ok(Vec::new()),
        _ => Err(Error::text("Invalid arguments specified for command")),
    }
}

fn list(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let filter = filter_of(ctx)?;
    let names: Vec<&str> = table()
        .commands()
        .iter()
        .filter(|command| filter.admits(command))
        .map(Command::full_name)
        .collect();
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk_str(name));
    Ok(())
}

/// Which commands COMMAND LIST returns.
enum CommandFilter<'a> {
    All,
    /// There are no modules, so nothing is of one.
    None,
    Category(Option<Category>),
    Pattern(&'a [u8]),
}

impl CommandFilter<'_> {
    fn admits(&self, command: &Command) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Category(category) => {
                category.is_some_and(|it| command.categories().contains(it))
            }
            Self::Pattern(pattern) => glob_match(pattern, command.full_name().as_bytes(), true),
        }
    }
}

fn filter_of<'a>(ctx: &Ctx<'a>) -> Result<CommandFilter<'a>, Error> {
    let (kind, value) = match ctx.args.len() {
        2 => return Ok(CommandFilter::All),
        5 if ctx.is(2, "FILTERBY") => (3, ctx.args.get(4).unwrap_or_default()),
        _ => return Err(Error::SYNTAX),
    };
    if ctx.is(kind, "MODULE") {
        Ok(CommandFilter::None)
    } else if ctx.is(kind, "ACLCAT") {
        Ok(CommandFilter::Category(Category::named(value)))
    } else if ctx.is(kind, "PATTERN") {
        Ok(CommandFilter::Pattern(value))
    } else {
        Err(Error::SYNTAX)
    }
}
