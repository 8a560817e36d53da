//! GEOSEARCH, and GEORADIUS with its like: the members inside an area, returned or stored.

use std::ops::Range;

use kvik_resp::{Args, Reply};
use kvik_store::{IntText, ScoreRange, ScoredMember, StringRef, UnixMs, ZsetRef};

use super::area::{Area, AreaShape, centroid};
use super::cell::{Cell, Point};
use super::{length, point, reply_distance, reply_point, unit};
use crate::declare::{InvalidKeys, KeyFlags};
use crate::family::zset::{Results, expiry_in, read, reply_name, zset as zset_of};
use crate::{Ctx, Error, SLICE};

/// Which of the commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GeoCommand {
    /// The area is given by options.
    Search,
    SearchStore,
    /// A circle around coordinates.
    Radius {
        may_store: bool,
    },
    /// A circle around a member.
    RadiusByMember {
        may_store: bool,
    },
}

/// In which order members are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// The options of a call.
#[derive(Debug, Default)]
struct GeoQuery<'a> {
    centre: Option<Point>,
    /// Whether there is a centre, known or not: a key that does not exist has no members.
    has_centre: bool,
    /// Whether the centre is that of FROMLONLAT.
    from_coordinates: bool,
    shape: Option<AreaShape>,
    unit: f64,
    order: Option<Order>,
    /// 0: all.
    count: usize,
    any: bool,
    with_coordinates: bool,
    with_distance: bool,
    with_hash: bool,
    store: Option<&'a [u8]>,
    store_distance: bool,
}

/// A member inside.
struct Hit {
    /// Where its name is among all names.
    name: Range<usize>,
    score: f64,
    point: Point,
    metres: f64,
    /// When it expires, where that matters.
    expire_at: Option<UnixMs>,
}

/// The members inside.
#[derive(Default)]
struct Hits {
    names: Vec<u8>,
    all: Vec<Hit>,
}

impl Hits {
    fn name(&self, hit: &Hit) -> StringRef<'_> {
        StringRef::Bytes(&self.names[hit.name.clone()])
    }
}

pub(super) fn geosearch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, GeoCommand::Search)
}

pub(super) fn geosearchstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, GeoCommand::SearchStore)
}

pub(super) fn georadius(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, GeoCommand::Radius { may_store: true })
}

pub(super) fn georadius_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, GeoCommand::Radius { may_store: false })
}

pub(super) fn georadiusbymember(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, GeoCommand::RadiusByMember { may_store: true })
}

pub(super) fn georadiusbymember_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, GeoCommand::RadiusByMember { may_store: false })
}

/// The keys of GEORADIUS and GEORADIUSBYMEMBER: the one searched, and those behind STORE and
/// STOREDIST.
pub(super) fn find_keys(
    args: Args<'_>,
    found: &mut dyn FnMut(usize, KeyFlags),
) -> Result<(), InvalidKeys> {
    found(1, KeyFlags::RO_ACCESS);
    let stores = |at: usize| {
        let word = &args[at];
        word.eq_ignore_ascii_case(b"STORE") || word.eq_ignore_ascii_case(b"STOREDIST")
    };
    // Words from the fifth on can be STORE for both commands; a word behind it is the key and is
    // not looked at again.
    let mut at = 5;
    while at + 1 < args.len() {
        if stores(at) {
            at += 1;
            found(at, KeyFlags::OW_UPDATE);
        }
        at += 1;
    }
    Ok(())
}

fn run(ctx: &mut Ctx<'_>, form: GeoCommand) -> Result<(), Error> {
    let (args, source) = (ctx.args, form.source());
    // What is due is deleted, and other types are refused before anything else.
    read(ctx, &args[source])?;
    let request = GeoQuery::parse(ctx, form)?;
    let found = match request.area() {
        Some(area) => request.find(ctx, &args[source], &area)?,
        None => Hits::default(),
    };
    match request.store {
        Some(destination) => {
            let mut results = request.results(&found);
            results.store(&mut ctx.keys, destination)?;
            ctx.reply.integer(results.len() as i64);
        }
        None => request.answer(&mut ctx.reply, &found),
    }
    Ok(())
}

impl GeoCommand {
    /// Where the key that is searched stands.
    fn source(self) -> usize {
        match self {
            Self::SearchStore => 2,
            _ => 1,
        }
    }

    /// Where the options begin.
    fn options(self) -> usize {
        match self {
            Self::Search => 2,
            Self::SearchStore => 3,
            Self::Radius { .. } => 6,
            Self::RadiusByMember { .. } => 5,
        }
    }

    fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::SearchStore)
    }

    /// Whether STORE and STOREDIST name a destination.
    fn may_store(self) -> bool {
        match self {
            Self::Search | Self::SearchStore => false,
            Self::Radius { may_store } | Self::RadiusByMember { may_store } => may_store,
        }
    }
}

impl<'a> GeoQuery<'a> {
    fn parse(ctx: &Ctx<'a>, form: GeoCommand) -> Result<Self, Error> {
        let mut request = Self::default();
        // The key was met in `run`, so it is of the right type and not due.
        let view = ctx.keys.view(&ctx.args[form.source()]);
        let zset = view.map(zset_of).transpose()?;
        match form {
            GeoCommand::Search => {}
            GeoCommand::SearchStore => request.store = ctx.args.get(1),
            GeoCommand::Radius { .. } => {
                request.centre = Some(point(ctx, 2)?);
                request.take_circle(ctx, 4)?;
            }
            // Without a key Redis reads neither the member nor the radius.
            GeoCommand::RadiusByMember { .. } if zset.is_none() => {}
            GeoCommand::RadiusByMember { .. } => {
                request.take_member(ctx, zset, 2)?;
                request.take_circle(ctx, 3)?;
            }
        }
        let mut at = form.options();
        while at < ctx.args.len() {
            at += 1 + request.take_option(ctx, form, zset, at)?;
        }
        request.check(ctx, form)?;
        Ok(request)
    }

    /// Takes the option at a position and says how many words behind belong to it.
    fn take_option(
        &mut self,
        ctx: &Ctx<'a>,
        form: GeoCommand,
        zset: Option<ZsetRef<'_>>,
        at: usize,
    ) -> Result<usize, Error> {
        let behind = ctx.args.len() - at - 1;
        let operand = ctx.args.get(at + 1).unwrap_or_default();
        match ctx.args[at].to_ascii_lowercase().as_slice() {
            b"withdist" => self.with_distance = true,
            b"withhash" => self.with_hash = true,
            b"withcoord" => self.with_coordinates = true,
            b"any" => self.any = true,
            b"asc" => self.order = Some(Order::Nearest),
            b"desc" => self.order = Some(Order::Farthest),
            b"count" if behind >= 1 => {
                self.take_count(ctx.int(at + 1)?)?;
                return Ok(1);
            }
            option @ (b"store" | b"storedist") if behind >= 1 && form.may_store() => {
                self.store = Some(operand);
                self.store_distance = option == b"storedist";
                return Ok(1);
            }
            b"storedist" if form == GeoCommand::SearchStore => self.store_distance = true,
            option if form.is_search() => return self.take_area(ctx, zset, at, option),
            _ => return Err(Error::SYNTAX),
        }
        Ok(0)
    }

    /// Takes one of the options that only GEOSEARCH and GEOSEARCHSTORE have.
    fn take_area(
        &mut self,
        ctx: &Ctx<'a>,
        zset: Option<ZsetRef<'_>>,
        at: usize,
        option: &[u8],
    ) -> Result<usize, Error> {
        let behind = ctx.args.len() - at - 1;
        // An option may be repeated, and then the last one counts, but two kinds of an area do not
        // go together.
        let is_box = matches!(self.shape, Some(AreaShape::Box { .. }));
        let is_circle = matches!(self.shape, Some(AreaShape::Circle { .. }));
        let is_polygon = matches!(self.shape, Some(AreaShape::Polygon(_)));
        match option {
            b"bypolygon" if behind >= 2 && (is_polygon || self.is_anywhere()) => {
                Ok(1 + 2 * self.take_polygon(ctx, at + 1)?)
            }
            // The vertices of a polygon say where it is.
            _ if is_polygon => Err(Error::SYNTAX),
            b"frommember" if behind >= 1 && !self.from_coordinates => {
                self.take_member(ctx, zset, at + 1)?;
                Ok(1)
            }
            b"fromlonlat" if behind >= 2 && (self.from_coordinates || !self.has_centre) => {
                self.centre = Some(point(ctx, at + 1)?);
                self.has_centre = true;
                self.from_coordinates = true;
                Ok(2)
            }
            b"byradius" if behind >= 2 && !is_box => {
                self.take_circle(ctx, at + 1)?;
                Ok(2)
            }
            b"bybox" if behind >= 3 && !is_circle => {
                self.take_box(ctx, at + 1)?;
                Ok(3)
            }
            _ => Err(Error::SYNTAX),
        }
    }

    fn take_count(&mut self, count: i64) -> Result<(), Error> {
        let count = usize::try_from(count).ok().filter(|&count| count > 0);
        self.count = count.ok_or(Error::text("COUNT must be > 0"))?;
        Ok(())
    }

    /// Takes the position of a member as the centre, if the key exists.
    fn take_member(
        &mut self,
        ctx: &Ctx<'_>,
        zset: Option<ZsetRef<'_>>,
        at: usize,
    ) -> Result<(), Error> {
        self.has_centre = true;
        if let Some(zset) = zset {
            let score = zset.score(&ctx.args[at]);
            let score = score.ok_or(Error::text("could not decode requested zset member"))?;
            self.centre = Some(Point::of_score(score));
        }
        Ok(())
    }

    fn take_circle(&mut self, ctx: &Ctx<'_>, at: usize) -> Result<(), Error> {
        let radius = length(ctx, at, "need numeric radius")?;
        if radius < 0.0 {
            return Err(Error::text("radius cannot be negative"));
        }
        self.unit = unit(ctx, at + 1)?;
        self.shape = Some(AreaShape::Circle { radius });
        Ok(())
    }

    fn take_box(&mut self, ctx: &Ctx<'_>, at: usize) -> Result<(), Error> {
        let width = length(ctx, at, "need numeric width")?;
        let height = length(ctx, at + 1, "need numeric height")?;
        if height < 0.0 || width < 0.0 {
            return Err(Error::text("height or width cannot be negative"));
        }
        self.unit = unit(ctx, at + 2)?;
        self.shape = Some(AreaShape::Box { width, height });
        Ok(())
    }

    /// Whether nothing is known of the area.
    fn is_anywhere(&self) -> bool {
        !self.has_centre && self.shape.is_none()
    }

    /// Takes the number of vertices at a position and so many vertices behind it, and says how
    /// many.
    fn take_polygon(&mut self, ctx: &Ctx<'_>, at: usize) -> Result<usize, Error> {
        let count = ctx.small_int(at);
        let count = count.map_err(|_| Error::text("invalid number of vertices"))?;
        // The number of vertices is bounded by the words given before anything is allocated for it.
        let given = (ctx.args.len() - at - 1) / 2;
        let count = usize::try_from(count).ok();
        let count = count.filter(|count| (3..=given).contains(count));
        let count = count.ok_or(Error::text(
            "GEOSEARCH BYPOLYGON must have at least 3 vertices",
        ))?;
        let vertices = (0..count).map(|vertex| point(ctx, at + 1 + 2 * vertex));
        let vertices = vertices.collect::<Result<Vec<_>, Error>>()?;
        self.centre = Some(centroid(&vertices));
        self.has_centre = true;
        self.unit = 1.0;
        self.shape = Some(AreaShape::Polygon(vertices));
        Ok(count)
    }

    /// Refuses what does not go together, or is not enough.
    fn check(&self, ctx: &Ctx<'_>, form: GeoCommand) -> Result<(), Error> {
        // A stored result has room for one score only.
        let details = self.with_distance || self.with_hash || self.with_coordinates;
        if self.store.is_some() && details {
            return Err(Error::text(match form {
                GeoCommand::SearchStore => {
                    "GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
                _ => {
                    "STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
            }));
        }
        let missing = |what: &str| {
            Error::quoting(&[
                b"exactly one of ",
                what.as_bytes(),
                b" can be specified for ",
                &ctx.args[0],
            ])
        };
        if form.is_search() && !self.has_centre {
            return Err(missing("FROMMEMBER or FROMLONLAT"));
        }
        if form.is_search() && self.shape.is_none() {
            return Err(missing("BYRADIUS and BYBOX"));
        }
        if self.any && self.count == 0 {
            return Err(Error::text("the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    fn area(&self) -> Option<Area> {
        Some(Area {
            centre: self.centre?,
            shape: self.shape.clone()?,
            unit: self.unit,
        })
    }

    /// The members that are asked for, in order.
    fn find(&self, ctx: &mut Ctx<'_>, key: &[u8], area: &Area) -> Result<Hits, Error> {
        let limit = if self.count == 0 {
            usize::MAX
        } else {
            self.count
        };
        let mut hits = self.inside(ctx, key, area, limit)?;
        // No key is needed for the order.
        if hits.all.len() > SLICE {
            ctx.keys.rest();
        }
        let found = &mut hits.all;
        // COUNT alone asks for the nearest ones, which takes an order.
        let closest_first = self.count != 0 && !self.any;
        match self.order.or(closest_first.then_some(Order::Nearest)) {
            Some(Order::Nearest) => found.sort_by(|a, b| a.metres.total_cmp(&b.metres)),
            Some(Order::Farthest) => found.sort_by(|a, b| b.metres.total_cmp(&a.metres)),
            None => {}
        }
        found.truncate(limit);
        Ok(hits)
    }

    /// The members inside, some at a time; with ANY those that come first will do.
    fn inside(
        &self,
        ctx: &mut Ctx<'_>,
        key: &[u8],
        area: &Area,
        limit: usize,
    ) -> Result<Hits, Error> {
        let mut hits = Hits::default();
        let Some(zset) = ctx.keys.view(key).map(zset_of).transpose()? else {
            return Ok(hits);
        };
        // Cells are ranges of scores. They reach beyond the area, so every member is tested itself.
        let cells = area.cover().into_iter();
        let cells: Vec<Range<usize>> = cells
            .map(|cell| zset.ranks_of_scores(&scores(cell)))
            .collect();
        let (total, mut looked) = (cells.iter().map(Range::len).sum(), 0);
        for ranks in cells {
            for start in ranks.clone().step_by(SLICE) {
                if looked >= SLICE {
                    ctx.weigh(total)?;
                    ctx.breathe()?;
                    looked = 0;
                }
                let Some(zset) = ctx.keys.view(key).map(zset_of).transpose()? else {
                    return Ok(hits);
                };
                let slice = start..ranks.end.min(start + SLICE);
                looked += slice.len();
                for member in zset.range(slice, false) {
                    if let Some(metres) = area.distance_inside(Point::of_score(member.score())) {
                        self.take_hit(&mut hits, zset, member, metres);
                        if self.any && hits.all.len() == limit {
                            return Ok(hits);
                        }
                    }
                }
            }
        }
        Ok(hits)
    }

    fn take_hit(&self, hits: &mut Hits, zset: ZsetRef<'_>, member: ScoredMember<'_>, metres: f64) {
        let (start, mut room) = (hits.names.len(), IntText::default());
        hits.names.extend_from_slice(member.name.text(&mut room));
        hits.all.push(Hit {
            name: start..hits.names.len(),
            score: member.score(),
            point: Point::of_score(member.score()),
            metres,
            expire_at: self.store.and_then(|_| expiry_in(zset, member.name)),
        });
    }

    fn results(&self, found: &Hits) -> Results {
        let mut results = Results::default();
        for one in &found.all {
            let score = if self.store_distance {
                one.metres / self.unit
            } else {
                one.score
            };
            results.push(found.name(one), score, one.expire_at);
        }
        results
    }

    fn answer(&self, reply: &mut Reply<'_>, found: &Hits) {
        let details = [self.with_distance, self.with_hash, self.with_coordinates];
        let details = details.iter().filter(|&&wanted| wanted).count();
        reply.array(found.all.len());
        for one in &found.all {
            if details > 0 {
                reply.array(1 + details);
            }
            reply_name(reply, found.name(one));
            if self.with_distance {
                reply_distance(reply, one.metres / self.unit);
            }
            if self.with_hash {
                reply.integer(one.score as i64);
            }
            if self.with_coordinates {
                reply_point(reply, one.point);
            }
        }
    }
}

/// The scores of the members in a cell.
fn scores(cell: Cell) -> ScoreRange {
    ScoreRange {
        min: cell.score(),
        min_excluded: false,
        max: cell.end_score(),
        max_excluded: true,
    }
}
