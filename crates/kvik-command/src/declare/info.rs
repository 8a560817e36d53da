//! A command as the replies of COMMAND INFO, COMMAND DOCS and the HELP subcommands describe it.

use kvik_resp::Reply;

use super::argument::{Argument, Kind, Repetition, Style};
use super::command::Command;
use super::keys::{Begin, Find, KeySpec};
use super::table::Table;

impl Table {
    /// Writes the ten elements by which COMMAND INFO describes a command, its subcommands included.
    pub fn write_info(&self, command: &Command, reply: &mut Reply<'_>) {
        let range = command.range();
        reply.array(10);
        reply.bulk_str(command.full_name());
        reply.integer(command.arity().into());
        write_words(reply, command.flags().names());
        for position in [range.first, range.last, range.step] {
            reply.integer(position as i64);
        }
        let categories: Vec<String> = command
            .categories()
            .names()
            .map(|name| format!("@{name}"))
            .collect();
        write_words(reply, categories.iter().map(String::as_str));
        write_tips(command, reply);
        reply.set(command.specs().len());
        command
            .specs()
            .iter()
            .for_each(|spec| write_spec(spec, reply));
        let subcommands = self.subcommands(command);
        reply.array(subcommands.len());
        subcommands.for_each(|subcommand| self.write_info(subcommand, reply));
    }

    /// Writes the map by which COMMAND DOCS documents a command, its subcommands included.
    pub fn write_docs(&self, command: &Command, reply: &mut Reply<'_>) {
        let texts = texts_of(command);
        let history = command.history();
        let subcommands = self.subcommands(command);
        let deprecated = usize::from(command.deprecation().is_some());
        let lists = [history.len(), command.arguments().len(), subcommands.len()];
        reply.map(texts.len() + deprecated + lists.iter().filter(|len| **len > 0).count());
        for (field, text) in texts {
            reply.bulk_str(field);
            reply.bulk_str(text);
            if field == "complexity" && deprecated > 0 {
                reply.bulk_str("doc_flags");
                write_words(reply, ["deprecated"].into_iter());
            }
        }
        if !history.is_empty() {
            reply.bulk_str("history");
            write_history(history, reply);
        }
        write_arguments(command.arguments(), reply);
        if subcommands.len() > 0 {
            reply.bulk_str("subcommands");
            reply.map(subcommands.len());
            for subcommand in subcommands {
                reply.bulk_str(subcommand.full_name());
                self.write_docs(subcommand, reply);
            }
        }
    }

    /// The lines of a container's HELP: every subcommand with its usage and what it does.
    pub fn help(&self, container: &Command) -> Vec<String> {
        let name = container.name();
        let mut lines = vec![format!(
            "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
        )];
        // A container that runs by itself, as COMMAND does, is listed as well.
        if container.handler().is_some() {
            lines.push("(no subcommand)".to_owned());
            lines.push(format!("    {}", container.summary()));
        }
        for subcommand in self.subcommands(container) {
            let usage = subcommand.usage(Style::Angled);
            lines.push(
                format!("{} {usage}", subcommand.last_word())
                    .trim_end()
                    .to_owned(),
            );
            lines.push(format!("    {}", subcommand.summary()));
        }
        lines
    }
}

/// The fields of COMMAND DOCS that are one text, in Redis' order.
fn texts_of(command: &Command) -> Vec<(&'static str, &'static str)> {
    let mut texts = vec![
        ("summary", command.summary()),
        ("since", command.since()),
        ("group", command.group().name()),
    ];
    texts.push(("complexity", command.complexity()));
    if let Some(deprecation) = command.deprecation() {
        texts.push(("deprecated_since", deprecation.since));
        texts.push(("replaced_by", deprecation.replaced_by));
    }
    texts.retain(|(_, text)| !text.is_empty());
    texts
}

fn write_words<'w>(reply: &mut Reply<'_>, words: impl Iterator<Item = &'w str>) {
    let words: Vec<&str> = words.collect();
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

fn write_tips(command: &Command, reply: &mut Reply<'_>) {
    reply.set(command.tips().len());
    command.tips().iter().for_each(|tip| reply.bulk_str(tip));
}

fn write_history(history: &[(&str, &str)], reply: &mut Reply<'_>) {
    reply.set(history.len());
    for (version, change) in history {
        reply.array(2);
        reply.bulk_str(version);
        reply.bulk_str(change);
    }
}

fn write_spec(spec: &KeySpec, reply: &mut Reply<'_>) {
    reply.map(if spec.notes.is_empty() { 3 } else { 4 });
    if !spec.notes.is_empty() {
        reply.bulk_str("notes");
        reply.bulk_str(spec.notes);
    }
    reply.bulk_str("flags");
    write_words(reply, spec.flags.names());
    reply.bulk_str("begin_search");
    match spec.begin {
        Begin::Index(index) => write_search("index", &[("index", index as i64)], reply),
        Begin::Keyword { word, from } => write_keyword(word, from as i64, reply),
        Begin::Unknown => write_search("unknown", &[], reply),
    }
    reply.bulk_str("find_keys");
    match spec.find {
        Find::Range { last, step, limit } => {
            let numbers = [
                ("lastkey", last as i64),
                ("keystep", step as i64),
                ("limit", limit as i64),
            ];
            write_search("range", &numbers, reply);
        }
        Find::Count {
            number,
            first,
            step,
        } => {
            let numbers = [
                ("keynumidx", number as i64),
                ("firstkey", first as i64),
                ("keystep", step as i64),
            ];
            write_search("keynum", &numbers, reply);
        }
        Find::Unknown => write_search("unknown", &[], reply),
    }
}

fn write_search(kind: &str, numbers: &[(&str, i64)], reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk_str("type");
    reply.bulk_str(kind);
    reply.bulk_str("spec");
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk_str(name);
        reply.integer(*number);
    }
}

fn write_keyword(word: &str, from: i64, reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk_str("type");
    reply.bulk_str("keyword");
    reply.bulk_str("spec");
    reply.map(2);
    reply.bulk_str("keyword");
    reply.bulk_str(word);
    reply.bulk_str("startfrom");
    reply.integer(from);
}

fn write_arguments(arguments: &[Argument], reply: &mut Reply<'_>) {
    if arguments.is_empty() {
        return;
    }
    reply.bulk_str("arguments");
    reply.array(arguments.len());
    arguments
        .iter()
        .for_each(|argument| write_argument(argument, reply));
}

fn write_argument(argument: &Argument, reply: &mut Reply<'_>) {
    let group = matches!(argument.kind, Kind::OneOf(_) | Kind::Block(_));
    let mut texts = vec![
        ("name", argument.name.as_str()),
        ("type", argument.kind.name()),
    ];
    if !group {
        texts.push(("display_text", &argument.display));
    }
    let key_spec = argument.key_spec.map(|number| ("key_spec_index", number));
    let token = argument.token.map(|token| ("token", token));
    let flags = flags_of(argument);
    let others = [
        key_spec.is_some(),
        token.is_some(),
        !flags.is_empty(),
        group,
    ];
    reply.map(texts.len() + others.iter().filter(|present| **present).count());
    for (field, text) in texts {
        reply.bulk_str(field);
        reply.bulk_str(text);
    }
    if let Some((field, number)) = key_spec {
        reply.bulk_str(field);
        reply.integer(number as i64);
    }
    if let Some((field, text)) = token {
        reply.bulk_str(field);
        reply.bulk_str(text);
    }
    if !flags.is_empty() {
        reply.bulk_str("flags");
        write_words(reply, flags.iter().copied());
    }
    write_arguments(argument.parts(), reply);
}

fn flags_of(argument: &Argument) -> Vec<&'static str> {
    let flags = [
        (argument.optional, "optional"),
        (argument.repetition != Repetition::Once, "multiple"),
        (
            argument.repetition == Repetition::ManyWithToken,
            "multiple_token",
        ),
    ];
    flags
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use kvik_resp::{Output, Protocol};

    use super::super::{Group, KeyFlags, Row};
    use super::*;

    fn get() -> Row {
        Row::new("GET", "key", None)
            .group(Group::String)
            .readonly()
            .fast()
            .since("1.0.0")
            .complexity("O(1)")
            .about("Returns a value.")
    }

    fn said(
        rows: Vec<Row>,
        protocol: Protocol,
        write: fn(&Table, &Command, &mut Reply<'_>),
    ) -> String {
        let table = Table::build(rows).expect("well-formed");
        let mut out = Output::new();
        write(
            &table,
            &table.commands()[0],
            &mut Reply::new(&mut out, protocol),
        );
        String::from_utf8_lossy(&out.into_bytes()).replace("\r\n", " ")
    }

    #[test]
    fn info_has_ten_elements_in_redis_form() {
        let expected = "*10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~2 +@read +@fast ~0 ~1 %3 $5 flags ~2 +RO +access \
            $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
            $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 *0 ";
        assert_eq!(
            said(vec![get()], Protocol::Resp3, Table::write_info),
            expected
        );
        let resp2 = said(vec![get()], Protocol::Resp2, Table::write_info);
        assert!(
            resp2.starts_with("*10 $3 get :2 *2 +readonly +fast :1 :1 :1 "),
            "{resp2}"
        );
        assert!(resp2.contains("*6 $5 flags *2 +RO +access"), "{resp2}");
    }

    #[test]
    fn info_describes_irregular_keys_and_subcommands() {
        const SPECS: &[KeySpec] = &[
            KeySpec::unknown(KeyFlags::RO, "by pattern"),
            KeySpec::after("STREAMS", 4, KeyFlags::RO),
            KeySpec::counted(2, KeyFlags::RO),
        ];
        let rows = vec![
            Command::container("X").group(Group::Server),
            Row::new("X A", "", None)
                .tips(&["nondeterministic_output"])
                .key_specs(SPECS),
        ];
        let expected = "*10 $1 x :-2 ~0 :0 :0 :0 ~1 +@slow ~0 ~0 *1 \
            *10 $3 x|a :2 ~1 +movablekeys :0 :0 :0 ~1 +@slow ~1 $23 nondeterministic_output ~3 \
            %4 $5 notes $10 by pattern $5 flags ~1 +RO $12 begin_search %2 $4 type $7 unknown $4 spec %0 \
            $9 find_keys %2 $4 type $7 unknown $4 spec %0 \
            %3 $5 flags ~1 +RO $12 begin_search %2 $4 type $7 keyword $4 spec %2 $7 keyword $7 STREAMS $9 startfrom :4 \
            $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 \
            %3 $5 flags ~1 +RO $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :2 \
            $9 find_keys %2 $4 type $6 keynum $4 spec %3 $9 keynumidx :0 $8 firstkey :1 $7 keystep :1 *0 ";
        assert_eq!(said(rows, Protocol::Resp3, Table::write_info), expected);
    }

    #[test]
    fn docs_describe_the_argument_tree() {
        let expected = "%5 $7 summary $16 Returns a value. $5 since $5 1.0.0 $5 group $6 string $10 complexity $4 O(1) \
            $9 arguments *1 %4 $4 name $3 key $4 type $3 key $12 display_text $3 key $14 key_spec_index :0 ";
        assert_eq!(
            said(vec![get()], Protocol::Resp3, Table::write_docs),
            expected
        );

        let row =
            Row::new("X", "[AT unit:<M|KM m:double>] [GET p [GET p ...]]", None).group(Group::Geo);
        let expected = "%2 $5 group $3 geo $9 arguments *2 \
            %5 $4 name $4 unit $4 type $5 oneof $5 token $2 AT $5 flags ~1 +optional $9 arguments *2 \
            %4 $4 name $1 m $4 type $10 pure-token $12 display_text $1 m $5 token $1 M \
            %4 $4 name $1 m $4 type $6 double $12 display_text $1 m $5 token $2 KM \
            %5 $4 name $1 p $4 type $6 string $12 display_text $1 p $5 token $3 GET \
            $5 flags ~3 +optional +multiple +multiple_token ";
        assert_eq!(
            said(vec![row], Protocol::Resp3, Table::write_docs),
            expected
        );
    }

    #[test]
    fn docs_tell_history_and_replacement() {
        let row = Row::new("OLD", "", None)
            .group(Group::Set)
            .since("1.0.0")
            .complexity("O(1)");
        let row = row.deprecated("6.2.0", "`NEW`").changed("2.0.0", "Faster.");
        let expected = "%7 $5 since $5 1.0.0 $5 group $3 set $10 complexity $4 O(1) $9 doc_flags ~1 +deprecated \
            $16 deprecated_since $5 6.2.0 $11 replaced_by $5 `NEW` $7 history ~1 *2 $5 2.0.0 $7 Faster. ";
        assert_eq!(
            said(vec![row], Protocol::Resp3, Table::write_docs),
            expected
        );
    }

    #[test]
    fn help_lists_the_subcommands() {
        let rows = vec![
            Command::container("CONFIG").group(Group::Server),
            Row::new("CONFIG GET", "parameter [parameter ...]", None).about("Returns parameters."),
            Row::new("CONFIG HELP", "", None).about("Prints this help."),
        ];
        let table = Table::build(rows).expect("well-formed");
        let expected = [
            "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "GET <parameter> [<parameter> ...]",
            "    Returns parameters.",
            "HELP",
            "    Prints this help.",
        ];
        assert_eq!(table.help(&table.commands()[0]), expected);
    }
}
