//! CLIENT TRACKING and its kin: client-side caching.

use crate::tracking::{TrackingMode, TrackingTerms};
use crate::{Ctx, Error};

pub(super) const TRACKING_SYNTAX: &str = "status:<ON|OFF> [REDIRECT client-id:integer] \
    [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]";

const OTHER_BROADCAST: &str = "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
const OTHER_OPTION: &str = "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";

pub(super) fn tracking(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = Options::parse(ctx)?;
    match ctx.args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            let terms = options.terms(ctx)?;
            let engine = ctx.engine;
            engine.tracking.start(ctx.session, terms, &engine.settings);
        }
        b"off" => ctx.engine.tracking.stop(ctx.session, &ctx.engine.settings),
        _ => return Err(Error::SYNTAX),
    }
    ctx.reply.ok();
    Ok(())
}

#[derive(Debug, Default)]
struct Options {
    redirect: u64,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    noloop: bool,
    prefixes: Vec<Box<[u8]>>,
}

impl Options {
    fn parse(ctx: &Ctx<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut at = 3;
        while at < ctx.args.len() {
            let has_value = at + 1 < ctx.args.len();
            match ctx.args[at].to_ascii_lowercase().as_slice() {
                b"redirect" if has_value => {
                    at += 1;
                    options.redirect = options.redirected(ctx, at)?;
                }
                b"bcast" => options.broadcast = true,
                b"optin" => options.opt_in = true,
                b"optout" => options.opt_out = true,
                b"noloop" => options.noloop = true,
                b"prefix" if has_value => {
                    at += 1;
                    options.prefixes.push((&ctx.args[at]).into());
                }
                _ => return Err(Error::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }

    /// The client that a word names, which is there now.
    fn redirected(&self, ctx: &Ctx<'_>, at: usize) -> Result<u64, Error> {
        if self.redirect != 0 {
            let text = "A client can only redirect to a single other client";
            return Err(Error::text(text));
        }
        let id = u64::try_from(ctx.int(at)?).unwrap_or(0);
        match ctx.engine.clients.get(id) {
            Some(client) => Ok(client.id),
            None => Err(Error::text(
                "The client ID you want redirect to does not exist",
            )),
        }
    }

    fn terms(self, ctx: &Ctx<'_>) -> Result<TrackingTerms, Error> {
        let before = ctx.session.tracking.mode;
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(Error::text(
                "PREFIX option requires BCAST mode to be enabled",
            ));
        }
        if before != TrackingMode::Off && (before == TrackingMode::Broadcast) != self.broadcast {
            return Err(Error::text(OTHER_BROADCAST));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Error::text(
                "OPTIN and OPTOUT are not compatible with BCAST",
            ));
        }
        if self.opt_in && self.opt_out {
            return Err(Error::text(
                "You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        let mode = match () {
            () if self.broadcast => TrackingMode::Broadcast,
            () if self.opt_in => TrackingMode::OptIn,
            () if self.opt_out => TrackingMode::OptOut,
            () => TrackingMode::All,
        };
        let is_other = |one, other| before == one && mode == other;
        if is_other(TrackingMode::OptIn, TrackingMode::OptOut)
            || is_other(TrackingMode::OptOut, TrackingMode::OptIn)
        {
            return Err(Error::text(OTHER_OPTION));
        }
        self.check_prefixes(&ctx.session.tracking.prefixes)?;
        Ok(TrackingTerms {
            mode,
            redirect: self.redirect,
            noloop: self.noloop,
            prefixes: self.prefixes,
        })
    }

    /// Refuses prefixes of which one begins another: the client would hear twice of the same key.
    fn check_prefixes(&self, present: &[Box<[u8]>]) -> Result<(), Error> {
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let overlaps = |other: &&[u8]| other.starts_with(prefix) || prefix.starts_with(other);
            if let Some(other) = present.iter().map(|other| &**other).find(overlaps) {
                return Err(overlap(prefix, b"an existing", other));
            }
            let later = self.prefixes[at + 1..].iter();
            if let Some(other) = later.map(|other| &**other).find(overlaps) {
                return Err(overlap(prefix, b"another provided", other));
            }
        }
        Ok(())
    }
}

fn overlap(prefix: &[u8], which: &[u8], other: &[u8]) -> Error {
    Error::quoting(&[
        b"Prefix '",
        prefix,
        b"' overlaps with ",
        which,
        b" prefix '",
        other,
        b"'. Prefixes for a single client must not overlap.",
    ])
}

pub(super) fn caching(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mode = ctx.session.tracking.mode;
    if mode == TrackingMode::Off {
        return Err(Error::text(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    }
    let (fits, refusal) = match ctx.args[2].to_ascii_lowercase().as_slice() {
        b"yes" => (
            mode == TrackingMode::OptIn,
            "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        b"no" => (
            mode == TrackingMode::OptOut,
            "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        _ => return Err(Error::SYNTAX),
    };
    if !fits {
        return Err(Error::text(refusal));
    }
    ctx.session.tracking.is_chosen = true;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn getredir(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.integer(ctx.session.client.redirect());
    Ok(())
}

pub(super) fn trackinginfo(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (session, reply) = (&*ctx.session, &mut ctx.reply);
    let (own, shown) = (&session.tracking, &session.client.tracking);
    let flags = [
        ("off", own.mode == TrackingMode::Off),
        ("on", own.mode != TrackingMode::Off),
        ("bcast", own.mode == TrackingMode::Broadcast),
        ("optin", own.mode == TrackingMode::OptIn),
        (
            "caching-yes",
            own.mode == TrackingMode::OptIn && own.is_chosen,
        ),
        ("optout", own.mode == TrackingMode::OptOut),
        (
            "caching-no",
            own.mode == TrackingMode::OptOut && own.is_chosen,
        ),
        ("noloop", shown.is_without_loop()),
        ("broken_redirect", shown.is_broken()),
    ];
    let set = flags.iter().filter(|(_, is_set)| *is_set);
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(set.clone().count());
    set.for_each(|(flag, _)| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.integer(session.client.redirect());
    reply.bulk(b"prefixes");
    reply.array(own.prefixes.len());
    own.prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}
