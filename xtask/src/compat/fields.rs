//! The answers of COMMAND INFO and COMMAND DOCS about one command, flattened to named texts.

use std::collections::BTreeMap;

use anyhow::Context;
use kvik_resp::Value;

use super::Commands;

/// The ten elements of COMMAND INFO after the name, except the last: subcommands are commands of
/// their own here.
const INFO: [&str; 8] = [
    "arity",
    "flags",
    "first_key",
    "last_key",
    "step",
    "categories",
    "tips",
    "key_specs",
];

/// The fields of one command: "info.arity", "docs.arguments.0.name".
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, String>);

/// A field that is not the same.
#[derive(Debug, PartialEq)]
pub(super) struct Difference<'a> {
    pub(super) field: &'a str,
    pub(super) ours: &'a str,
    pub(super) theirs: &'a str,
}

const ABSENT: &str = "-";

const ARGUMENTS: &str = "docs.arguments";

/// The one field of a command that a server does not have.
const EXISTS: &str = "exists";

impl Fields {
    /// A command that does not exist.
    pub(super) fn missing() -> Self {
        Self::default()
    }

    /// The fields in which these differ from `theirs`. Something that is missing as a whole, the
    /// command or an argument, is one difference.
    pub(super) fn differences<'a>(&'a self, theirs: &'a Self) -> Vec<Difference<'a>> {
        if theirs.0.is_empty() {
            let exists = Difference {
                field: EXISTS,
                ours: "yes",
                theirs: ABSENT,
            };
            return vec![exists];
        }
        let mut names: Vec<&String> = self.0.keys().chain(theirs.0.keys()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| !self.lacks_around(name) && !theirs.lacks_around(name));
        let both = names.into_iter().map(|name| Difference {
            field: name,
            ours: self.text(name),
            theirs: theirs.text(name),
        });
        both.filter(|difference| difference.ours != difference.theirs)
            .collect()
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or(ABSENT, String::as_str)
    }

    /// Whether the argument to which this field belongs, or one around it, is missing as a whole:
    /// its name alone says so.
    fn lacks_around(&self, field: &str) -> bool {
        let Some(arguments) = field.strip_prefix(ARGUMENTS) else {
            return false;
        };
        let mut around = arguments;
        while let Some((shorter, _)) = around.rsplit_once('.') {
            around = shorter;
            let name = format!("{ARGUMENTS}{around}.name");
            if !around.is_empty() && name != field && !self.0.contains_key(&name) {
                return true;
            }
        }
        false
    }

    fn set(&mut self, field: String, value: &Value) {
        self.0.insert(field, text(value));
    }
}

/// All commands of the replies to COMMAND INFO and COMMAND DOCS.
pub(super) fn collect(info: &Value, docs: &Value) -> anyhow::Result<Commands> {
    let mut commands = Commands::new();
    for command in info.as_slice().context("COMMAND INFO is no array")? {
        collect_info(command, &mut commands).context("COMMAND INFO has another form")?;
    }
    collect_docs(docs, &mut commands).context("COMMAND DOCS has another form")?;
    Ok(commands)
}

fn collect_info(info: &Value, commands: &mut Commands) -> Option<()> {
    let elements = info.as_slice()?;
    let fields = commands
        .entry(elements.first()?.as_str()?.to_owned())
        .or_default();
    for (name, value) in INFO.iter().zip(elements.get(1..9)?) {
        fields.set(format!("info.{name}"), value);
    }
    elements
        .get(9)?
        .as_slice()?
        .iter()
        .try_for_each(|subcommand| collect_info(subcommand, commands))
}

fn collect_docs(docs: &Value, commands: &mut Commands) -> Option<()> {
    let Value::Map(entries) = docs else {
        return None;
    };
    for (name, documentation) in entries {
        let Value::Map(pairs) = documentation else {
            return None;
        };
        for (field, value) in pairs {
            let fields = commands.entry(name.as_str()?.to_owned()).or_default();
            match field.as_str()? {
                "subcommands" => collect_docs(value, commands)?,
                "arguments" => flatten(value, ARGUMENTS, fields)?,
                field => fields.set(format!("docs.{field}"), value),
            }
        }
    }
    Some(())
}

fn flatten(arguments: &Value, path: &str, fields: &mut Fields) -> Option<()> {
    for (i, argument) in arguments.as_slice()?.iter().enumerate() {
        let Value::Map(pairs) = argument else {
            return None;
        };
        for (field, value) in pairs {
            let path = format!("{path}.{i}");
            match field.as_str()? {
                "arguments" => flatten(value, &path, fields)?,
                field => fields.set(format!("{path}.{field}"), value),
            }
        }
    }
    Some(())
}

/// A value on one line; the order of a set means nothing, nor do the remarks on key specifications.
fn text(value: &Value) -> String {
    let all = |values: &[Value]| values.iter().map(text).collect::<Vec<_>>();
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Array(values) => format!("[{}]", all(values).join(", ")),
        Value::Set(values) => {
            let mut texts = all(values);
            texts.sort();
            format!("{{{}}}", texts.join(" "))
        }
        Value::Map(pairs) => {
            let said = pairs
                .iter()
                .filter(|(key, _)| key.as_str() != Some("notes"));
            let pairs: Vec<String> = said
                .map(|(key, value)| format!("{} {}", text(key), text(value)))
                .collect();
            format!("({})", pairs.join(", "))
        }
        other => other
            .as_str()
            .map_or_else(|| format!("{other:?}"), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(reply: &str) -> Value {
        let encoded = reply.replace(' ', "\r\n") + "\r\n";
        kvik_resp::ReplyDecoder::new()
            .decode(encoded.as_bytes())
            .expect("a reply")
            .expect("whole")
            .0
    }

    #[test]
    fn subcommands_and_arguments_become_fields() {
        let info = "*1 *10 +x :-2 ~2 +b +a :1 :1 :1 ~0 ~0 ~1 %2 +a :1 +notes +n *1 *10 +x|y :2 ~0 :0 :0 :0 ~0 ~0 ~0 *0";
        let docs = "%1 +x %2 +since +1 +arguments *1 %2 +name +n +arguments *1 %1 +name +m";
        let commands = collect(&decode(info), &decode(docs)).expect("the form of Redis");
        let x = &commands["x"].0;
        assert_eq!(x["info.flags"], "{a b}");
        assert_eq!(x["info.key_specs"], "{(a 1)}");
        assert_eq!(
            (
                x["docs.since"].as_str(),
                x["docs.arguments.0.0.name"].as_str()
            ),
            ("1", "m")
        );
        assert_eq!(commands["x|y"].0["info.arity"], "2");
    }

    #[test]
    fn differences_are_found_on_both_sides() {
        let fields = |pairs: &[(&str, &str)]| {
            Fields(
                pairs
                    .iter()
                    .map(|(k, v)| (k.to_string(), v.to_string()))
                    .collect(),
            )
        };
        let (ours, theirs) = (
            fields(&[("a", "1"), ("b", "2")]),
            fields(&[("a", "1"), ("b", "3"), ("c", "4")]),
        );
        let found: Vec<_> = ours
            .differences(&theirs)
            .iter()
            .map(|d| (d.field, d.ours, d.theirs))
            .collect();
        assert_eq!(found, [("b", "2", "3"), ("c", "-", "4")]);
        assert_eq!(ours.differences(&Fields::missing()).len(), 1);
    }

    #[test]
    fn a_missing_argument_is_one_difference() {
        let argument = ["name", "type", "0.name", "0.type"];
        let whole = argument.map(|field| (format!("{ARGUMENTS}.0.{field}"), "x".to_owned()));
        let ours = Fields(
            whole
                .into_iter()
                .chain([("a".into(), "1".into())])
                .collect(),
        );
        let theirs = Fields([("a".to_owned(), "1".to_owned())].into());
        let found = ours.differences(&theirs);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].field, "docs.arguments.0.name");
    }
}
