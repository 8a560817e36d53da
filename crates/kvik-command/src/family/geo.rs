//! Positions on the earth: rows, and the commands about single members.
//!
//! They are sorted sets. The score of a member is the number of the cell that it is in, on a grid
//! of 2^26 by 2^26 cells; cells with a common prefix lie together, so an area is a few ranges of
//! scores. What is read back is the centre of the cell.

mod area;
mod cell;
mod search;

use kvik_resp::{Reply, parse_f64};

use self::cell::{Cell, Point};
use super::zset::add::{self, AddOptions};
use super::zset::{read, zset};
use crate::declare::{Command, Group, KeyFlags, KeySpec, Row};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [members(), searches(), older_searches(), oldest_searches()]
        .into_iter()
        .flatten()
        .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler).group(Group::Geo)
}

const MEMBERS: &str = "O(M) where M is the number of members given";
const AREA: &str = "O(N+log(M)) where N is the number of members in the cells around the area and M that of those inside";
const UPPERCASE: &str = "Takes units in upper case.";

fn members() -> Vec<Row> {
    vec![
        command("GEOADD", GEOADD_SYNTAX, geoadd)
            .long()
            .write()
            .may_grow()
            .access(&[KeyFlags::RW_UPDATE])
            .since("3.2.0")
            .complexity(
                "O(M*log(N)) where N is the number of members and M the number of those given",
            )
            .changed("6.2.0", "Added the `CH`, `NX` and `XX` options.")
            .about("Adds members with their positions, or moves them."),
        command("GEODIST", GEODIST_SYNTAX, geodist)
            .readonly()
            .since("3.2.0")
            .complexity("O(1)")
            .about("Returns how far two members are apart."),
        command("GEOHASH", "key [member [member ...]]", geohash)
            .long()
            .readonly()
            .since("3.2.0")
            .complexity(MEMBERS)
            .about("Returns the positions of members as geohash strings."),
        command("GEOPOS", "key [member [member ...]]", geopos)
            .long()
            .readonly()
            .since("3.2.0")
            .complexity(MEMBERS)
            .about("Returns the longitudes and latitudes of members."),
    ]
}

const GEOADD_SYNTAX: &str = "key [NX|XX] [CH] longitude:double latitude:double member [longitude:double latitude:double member ...]";
const GEODIST_SYNTAX: &str = "key member1 member2 [unit:<M|KM|FT|MI>]";

fn searches() -> Vec<Row> {
    vec![
        command("GEOSEARCH", GEOSEARCH_SYNTAX, search::geosearch)
            .long()
            .arity(-7)
            .readonly()
            .since("6.2.0")
            .complexity(AREA)
            .changed("7.0.0", UPPERCASE)
            .changed("9.0.0", "Added the `BYPOLYGON` option.")
            .about("Returns the members inside a circle, a box or a polygon."),
        command(
            "GEOSEARCHSTORE",
            GEOSEARCHSTORE_SYNTAX,
            search::geosearchstore,
        )
        .long()
        .event("geosearchstore")
        .arity(-8)
        .write()
        .may_grow()
        .access(&[KeyFlags::OW_UPDATE, KeyFlags::RO_ACCESS])
        .since("6.2.0")
        .complexity(AREA)
        .changed("7.0.0", UPPERCASE)
        .changed("9.0.0", "Added the `BYPOLYGON` option.")
        .about("Stores the members inside a circle, a box or a polygon."),
    ]
}

const GEOSEARCH_SYNTAX: &str = "key [from:<FROMMEMBER member|FROMLONLAT longitude:double latitude:double>] \
    by:<circle:<<BYRADIUS radius:double> unit:<M|KM|FT|MI>>|box:<<BYBOX width:double> height:double unit:<M|KM|FT|MI>>\
    |polygon:<<BYPOLYGON num-vertices:integer> vertices:<longitude:double latitude:double> ...>> \
    [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]";
const GEOSEARCHSTORE_SYNTAX: &str = "destination source [from:<FROMMEMBER member|FROMLONLAT longitude:double latitude:double>] \
    by:<circle:<<BYRADIUS radius:double> unit:<M|KM|FT|MI>>|box:<<BYBOX width:double> height:double unit:<M|KM|FT|MI>>\
    |polygon:<<BYPOLYGON num-vertices:integer> vertices:<longitude:double latitude:double> ...>> \
    [ASC|DESC] [COUNT count [ANY]] [STOREDIST]";

fn older_searches() -> Vec<Row> {
    vec![
        command("GEORADIUS", GEORADIUS_SYNTAX, search::georadius)
            .long()
            .event("georadiusstore")
            .write()
            .may_grow()
            .key_specs(GEORADIUS_KEYS)
            .find_keys(search::find_keys)
            .since("3.2.0")
            .complexity(AREA)
            .changed("6.2.0", "Added the `ANY` option for `COUNT`.")
            .changed("7.0.0", UPPERCASE)
            .deprecated(
                "6.2.0",
                "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
            )
            .about("Returns or stores the members inside a circle."),
        command("GEORADIUS_RO", GEORADIUS_RO_SYNTAX, search::georadius_ro)
            .long()
            .readonly()
            .since("3.2.10")
            .complexity(AREA)
            .changed("6.2.0", "Added the `ANY` option for `COUNT`.")
            .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
            .about("Returns the members inside a circle."),
    ]
}

fn oldest_searches() -> Vec<Row> {
    vec![
        command(
            "GEORADIUSBYMEMBER",
            BYMEMBER_SYNTAX,
            search::georadiusbymember,
        )
        .long()
        .event("georadiusstore")
        .write()
        .may_grow()
        .key_specs(BYMEMBER_KEYS)
        .find_keys(search::find_keys)
        .since("3.2.0")
        .complexity(AREA)
        .changed("6.2.0", "Added the `ANY` option for `COUNT`.")
        .changed("7.0.0", UPPERCASE)
        .deprecated(
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )
        .about("Returns or stores the members inside a circle around one of them."),
        command(
            "GEORADIUSBYMEMBER_RO",
            BYMEMBER_RO_SYNTAX,
            search::georadiusbymember_ro,
        )
        .long()
        .readonly()
        .since("3.2.10")
        .complexity(AREA)
        .changed("6.2.0", "Added the `ANY` option for `COUNT`.")
        .deprecated(
            "6.2.0",
            "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )
        .about("Returns the members inside a circle around one of them."),
    ]
}

const GEORADIUS_SYNTAX: &str = "key longitude:double latitude:double radius:double unit:<M|KM|FT|MI> [WITHCOORD] [WITHDIST] \
    [WITHHASH] [COUNT count [ANY]] [ASC|DESC] [store:<STORE storekey=key:key|STOREDIST storedistkey=key:key>]";
const GEORADIUS_RO_SYNTAX: &str = "key longitude:double latitude:double radius:double unit:<M|KM|FT|MI> [WITHCOORD] [WITHDIST] \
    [WITHHASH] [COUNT count [ANY]] [ASC|DESC]";
const BYMEMBER_SYNTAX: &str = "key member radius:double unit:<M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
    [COUNT count [ANY]] [ASC|DESC] [store:<STORE storekey=key:key|STOREDIST storedistkey=key:key>]";
const BYMEMBER_RO_SYNTAX: &str = "key member radius:double unit:<M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
    [COUNT count [ANY]] [ASC|DESC]";

const GEORADIUS_KEYS: &[KeySpec] = &[
    KeySpec::range(1, 0, 1, KeyFlags::RO_ACCESS),
    KeySpec::after("STORE", 6, KeyFlags::OW_UPDATE),
    KeySpec::after("STOREDIST", 6, KeyFlags::OW_UPDATE),
];
const BYMEMBER_KEYS: &[KeySpec] = &[
    KeySpec::range(1, 0, 1, KeyFlags::RO_ACCESS),
    KeySpec::after("STORE", 5, KeyFlags::OW_UPDATE),
    KeySpec::after("STOREDIST", 5, KeyFlags::OW_UPDATE),
];

fn geoadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, mut options) = (ctx.args, AddOptions::default());
    let mut from = 2;
    while from < args.len() {
        match args[from].to_ascii_lowercase().as_slice() {
            b"nx" => options.nx = true,
            b"xx" => options.xx = true,
            b"ch" => options.ch = true,
            _ => break,
        }
        from += 1;
    }
    let words = args.len() - from;
    if !words.is_multiple_of(3) || (options.nx && options.xx) {
        return Err(Error::SYNTAX);
    }
    let member = |at: usize| {
        let score = Cell::of(point(ctx, at)?).score();
        Ok((score, args.get(at + 2).unwrap_or_default()))
    };
    let members = (from..args.len()).step_by(3).map(member);
    let members = members.collect::<Result<Vec<_>, Error>>()?;
    if members.is_empty() {
        return Err(Error::SYNTAX);
    }
    add::add(ctx, options, members.iter().copied())
}

fn geodist(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let unit = match args.len() {
        4 => 1.0,
        5 => unit(ctx, 4)?,
        _ => return Err(Error::SYNTAX),
    };
    let scores = read(ctx, &args[1])?.and_then(|zset| {
        let from = zset.score(&args[2])?;
        Some((from, zset.score(&args[3])?))
    });
    match scores {
        Some((from, to)) => {
            let metres = area::distance(Point::of_score(from), Point::of_score(to));
            reply_distance(&mut ctx.reply, metres / unit);
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    each_point(ctx, |reply, point| match point {
        Some(point) => reply.bulk(&point.geohash()),
        None => reply.null(),
    })
}

fn geopos(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    each_point(ctx, |reply, point| match point {
        Some(point) => reply_point(reply, point),
        None => reply.null_array(),
    })
}

/// Answers with what `tell` writes for each of the members given.
fn each_point(
    ctx: &mut Ctx<'_>,
    tell: impl Fn(&mut Reply<'_>, Option<Point>),
) -> Result<(), Error> {
    let members = ctx.args.tail(2);
    let args = ctx.args;
    read(ctx, &args[1])?;
    ctx.reply.array(members.len());
    ctx.read_in_slices(members.len(), |ctx, slice| {
        let zset = ctx.keys.view(ctx.key(1)).map(zset).transpose()?;
        for member in members.slice(slice) {
            let score = zset.and_then(|zset| zset.score(member));
            tell(&mut ctx.reply, score.map(Point::of_score));
        }
        Ok(())
    })
}

/// The longitude at a position and the latitude behind it.
fn point(ctx: &Ctx<'_>, at: usize) -> Result<Point, Error> {
    let point = Point {
        longitude: ctx.float(at)?,
        latitude: ctx.float(at + 1)?,
    };
    if !point.is_on_grid() {
        return Err(Error::new(format!(
            "invalid longitude,latitude pair {:.6},{:.6}",
            point.longitude, point.latitude
        )));
    }
    Ok(point)
}

/// A float at a position, or the error that there must be one.
fn length(ctx: &Ctx<'_>, at: usize, error: &'static str) -> Result<f64, Error> {
    parse_f64(&ctx.args[at]).ok_or(Error::text(error))
}

/// The metres of the unit at a position.
fn unit(ctx: &Ctx<'_>, at: usize) -> Result<f64, Error> {
    match ctx.args[at].to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(Error::text(
            "unsupported unit provided. please use M, KM, FT, MI",
        )),
    }
}

/// Writes a distance with four digits behind the point.
fn reply_distance(reply: &mut Reply<'_>, distance: f64) {
    reply.bulk_str(&fixed(distance));
}

fn fixed(distance: f64) -> String {
    // The nearest one of ten-thousandths as they are after the multiplication, not of the exact
    // product.
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    format!("{}.{:04}", scaled / 10_000, scaled % 10_000)
}

fn reply_point(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    reply.double_text(degrees(point.longitude).as_bytes());
    reply.double_text(degrees(point.latitude).as_bytes());
}

/// Up to 17 digits behind the point, without zeros at the end.
fn degrees(degrees: f64) -> String {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_four_digits() {
        for (distance, text) in [
            (0.0, "0.0000"),
            (0.00004, "0.0000"),
            (0.00006, "0.0001"),
            (0.775, "0.7750"),
            (166_274.151_56, "166274.1516"),
            (20_015_086.796_01, "20015086.7960"),
        ] {
            assert_eq!(fixed(distance), text);
        }
    }

    #[test]
    fn degrees_have_no_zeros_at_the_end() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (180.0, "180"),
            (-85.5, "-85.5"),
            (13.361_389_338_970_184, "13.36138933897018433"),
        ] {
            assert_eq!(degrees(number), text);
        }
    }
}
