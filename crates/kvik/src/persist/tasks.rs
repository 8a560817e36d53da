//! The tasks of the saver.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Error;
use kvik_command::gate::Closure;
use kvik_command::host::Shutdown;
use kvik_command::load::LoadPolicy;
use kvik_command::pause::PauseScope;
use kvik_command::persistence::{Reload, Task};
use kvik_log::{BaseFormat, Log, Lsn, Recovery, exists};
use kvik_resp::ArgsBuf;

use super::Persist;
use super::image::{Image, ImageError, write_image};
use super::recover::{OpenError, copy, end_of, start_writer};
use super::schedule::Job;
use crate::runner::Runner;
use crate::shared::Shared;
use crate::stripes::HeldMany;

/// The error of SAVE for a failure. The log says more.
const FAILED: Error = Error::text("the snapshot failed, see the log");

impl Persist {
    /// Does a task.
    pub(super) fn perform(&self, shared: &Arc<Shared>, job: &Job) -> Result<(), Error> {
        match &job.task {
            Task::Save | Task::BackgroundSave { .. } | Task::SaveEmpty => self.save(shared, job),
            Task::Rewrite => self.rewrite(shared, job),
            Task::SetLog(true) => self.start_log(shared, job),
            Task::SetLog(false) => self.stop_log(shared),
            Task::Reload(reload) => self.reload(shared, job, *reload),
            Task::LoadLog => self.load_log(shared),
            Task::Backup(directory) => self.back_up(shared, directory),
            Task::Shutdown(how) => self.shut_down(shared, job, *how),
        }
    }

    /// Writes a line to the log: for what Redis does too in its words, which scripts look for.
    fn say(&self, shared: &Shared, line: &str) {
        shared.engine.host.log(line);
    }

    // Snapshots.

    fn save(&self, shared: &Shared, job: &Job) -> Result<(), Error> {
        let is_background = matches!(job.task, Task::BackgroundSave { .. });
        if is_background {
            self.say(shared, "Background saving started");
        }
        self.figures.lock().save.begin(self.now_ms());
        let saved = self.write_snapshot(shared, job);
        let now_ms = self.now_ms();
        let mut figures = self.figures.lock();
        figures.tried_ms = now_ms;
        let result = match saved {
            Ok(changes) => {
                figures.save.end(now_ms, false);
                figures.changes_saved = changes;
                figures.saved_ms = now_ms;
                figures.last_save_s = shared.now_ms() / 1000;
                drop(figures);
                shared.engine.gate.open(Closure::SaveFailed);
                self.say(shared, "DB saved on disk");
                if is_background {
                    self.say(shared, "Background saving terminated with success");
                }
                Ok(())
            }
            // One that was given up has not failed.
            Err(ImageError::Cancelled) => {
                figures.save.since_ms = None;
                drop(figures);
                self.say(shared, "Background saving was given up");
                Err(FAILED)
            }
            Err(ImageError::Io(error)) => {
                figures.save.end(now_ms, true);
                drop(figures);
                self.refuse_writes(shared);
                let what = match is_background {
                    true => "Background saving error",
                    false => "Write error while saving DB to the disk",
                };
                self.say(shared, &format!("{what}: {error}"));
                Err(FAILED)
            }
        };
        self.wake_clients(shared);
        result
    }

    /// After a failed snapshot writes are refused, where that is asked for.
    fn refuse_writes(&self, shared: &Shared) {
        let settings = &shared.engine.settings.files;
        let has_rules = !settings.save_rules.read().is_empty();
        if settings.stop_writes.load(Relaxed) && has_rules {
            shared.engine.gate.close(Closure::SaveFailed);
        }
    }

    /// Writes a snapshot and puts it in the place of the last one. Returns how many changes there
    /// had been at its cut.
    fn write_snapshot(&self, shared: &Shared, job: &Job) -> Result<u64, ImageError> {
        let locked = self.lock_directory(shared);
        locked.map_err(|error| io::Error::other(error.to_string()))?;
        let names = shared.engine.settings.files.names.read().clone();
        let temporary = names.dir.join(format!("temp-{}.rdb", job.id));
        let written = self.write_file(shared, job, &temporary, false, |_| {
            shared.engine.stats.totals_ever().changes
        });
        let installed = written.and_then(|(_, changes)| {
            self.disk
                .rename(&temporary, &names.dir.join(&names.snapshot))?;
            self.disk.sync_dir(&names.dir)?;
            Ok(changes)
        });
        if installed.is_err() {
            // It may not even exist.
            let _ = self.disk.remove(&temporary);
        }
        installed
    }

    /// Writes all keys to a new file.
    fn write_file<T>(
        &self,
        shared: &Shared,
        job: &Job,
        path: &Path,
        is_base: bool,
        cut: impl FnOnce(&HeldMany<'_>) -> T,
    ) -> Result<(u64, T), ImageError> {
        let image = Image::create(&*self.disk, path, shared, is_base)?;
        write_image(shared, image, &|| job.is_cancelled(), cut)
    }

    // The log.

    fn rewrite(&self, shared: &Arc<Shared>, job: &Job) -> Result<(), Error> {
        let is_new = self.port.get().is_none();
        // Without a log the base is written all the same, as Redis does.
        let log = self.port_log(shared)?;
        let is_logged = shared.is_logged();
        // A log that was off begins anew: what happened meanwhile is missing in it.
        let needs_base = self.figures.lock().needs_base || !is_logged && !is_new;
        let rewritten = self.rewrite_log(shared, job, &log, |_| {
            if needs_base {
                log.restart(shared.random_id())
            } else {
                log.rotate()
            }
        });
        if rewritten.is_ok() && !is_logged {
            let text = "no write from now on is in it (appendonly no)";
            self.say(shared, text);
        }
        rewritten
    }

    /// The log of the store, open and not necessarily kept.
    fn port_log(&self, shared: &Arc<Shared>) -> Result<Arc<Log>, Error> {
        if let Some(log) = self.port.get() {
            return Ok(Arc::clone(log));
        }
        let log = self.open_new_log(shared);
        let log = log.map_err(|error| Error::new(error.to_string()))?;
        self.port.open(Arc::clone(&log));
        shared.know_log(Arc::clone(&self.port) as Arc<dyn crate::effects::EffectLog>);
        Ok(log)
    }

    fn rewrite_log(
        &self,
        shared: &Shared,
        job: &Job,
        log: &Log,
        rotate: impl FnOnce(&HeldMany<'_>) -> Lsn,
    ) -> Result<(), Error> {
        self.say(shared, "Background append only file rewriting started");
        self.figures.lock().rewrite.begin(self.now_ms());
        let temporary = log.temporary_base();
        let written = self.write_file(shared, job, &temporary, true, rotate);
        let finished = written.and_then(|(_, start)| {
            log.finish_rewrite(&temporary, BaseFormat::Rdb, start)
                .map_err(ImageError::Io)
        });
        let now_ms = self.now_ms();
        let mut figures = self.figures.lock();
        match finished {
            Ok(()) => {
                figures.rewrite.end(now_ms, false);
                figures.rewrite_failures = 0;
                figures.needs_base = false;
                drop(figures);
                self.say(shared, "Background AOF rewrite finished successfully");
                Ok(())
            }
            Err(error) => {
                // One that was given up has neither failed nor been done.
                let text = match error {
                    ImageError::Cancelled => {
                        figures.rewrite.since_ms = None;
                        // There is no child; it is what scripts look for.
                        "Killing AOF child, a task of this process: the rewrite is given up"
                            .to_owned()
                    }
                    ImageError::Io(error) => {
                        figures.rewrite.end(now_ms, true);
                        figures.rewrite_failures += 1;
                        format!("Background AOF rewrite terminated with error: {error}")
                    }
                };
                figures.rewrite_failed_ms = now_ms;
                drop(figures);
                log.abort_rewrite(&temporary);
                self.say(shared, &text);
                Err(FAILED)
            }
        }
    }

    /// `appendonly yes` at run time: effects go to the log from the cut on, and the keys of that
    /// moment are its base.
    fn start_log(&self, shared: &Arc<Shared>, job: &Job) -> Result<(), Error> {
        if shared.is_logged() {
            return Ok(());
        }
        let is_new = self.port.get().is_none();
        let log = self.port_log(shared)?;
        self.figures.lock().needs_base = true;
        let started = self.rewrite_log(shared, job, &log, |held| {
            let start = if is_new {
                log.rotate()
            } else {
                log.restart(shared.random_id())
            };
            shared.set_logged(held, true);
            self.is_logged.store(true, Relaxed);
            start
        });
        shared.engine.set_replication_id(log.id().to_string());
        // A rewrite that failed is tried again: effects are logged, and become durable with it.
        self.say(shared, "writes are logged");
        started
    }

    /// Opens the log of a store whose data did not come from it.
    fn open_new_log(&self, shared: &Arc<Shared>) -> Result<Arc<Log>, OpenError> {
        let options = self.log_options(shared);
        let lock = self.lock_directory(shared)?;
        let dir = options.dir.clone();
        let recovery = Recovery::open(options, Arc::clone(&self.disk), lock)?;
        let log = Arc::new(recovery.into_log_without_base(self.log_clock(shared))?);
        super::port::listen(&log, shared);
        start_writer(shared, &log, &dir)?;
        Ok(log)
    }

    /// `appendonly no` at run time. The files stay, whole up to this moment.
    fn stop_log(&self, shared: &Shared) -> Result<(), Error> {
        if shared.is_logged() {
            shared.detach();
            self.is_logged.store(false, Relaxed);
            self.force_log()?;
            self.figures.lock().needs_base = false;
            self.say(shared, "writes are not logged any more");
        }
        Ok(())
    }

    /// Waits until everything in the log is on disk.
    fn force_log(&self) -> Result<(), Error> {
        let log = self.port.get();
        let Some(open) = log else { return Ok(()) };
        open.wait(end_of(log))
            .map_err(|error| Error::new(error.to_string()))
    }

    // DEBUG.

    fn reload(&self, shared: &Arc<Shared>, job: &Job, reload: Reload) -> Result<(), Error> {
        const FAILED: Error = Error::text("Error trying to load the RDB dump, check server logs.");
        if reload.save {
            self.save(shared, job)?;
        }
        let policy = LoadPolicy {
            drops_overdue: true,
            replaces: reload.merge,
        };
        let names = shared.engine.settings.files.names.read().clone();
        let loaded = self.replace_data(shared, reload.flush, || {
            self.load_snapshot(shared, &names.dir.join(&names.snapshot), policy)
        });
        loaded.map_err(|error| {
            self.say(shared, &error.to_string());
            FAILED
        })
    }

    fn load_log(&self, shared: &Arc<Shared>) -> Result<(), Error> {
        const FAILED: Error = Error::text("Error trying to load the AOF files, check server logs.");
        self.force_log()?;
        let loaded = self.replace_data(shared, true, || {
            let options = self.log_options(shared);
            let lock = self.lock_directory(shared)?;
            let mut recovery = Recovery::open(options, Arc::clone(&self.disk), lock)?;
            self.replay(shared, &mut recovery)
        });
        loaded.map_err(|error| {
            self.say(shared, &error.to_string());
            FAILED
        })
    }

    /// Loads other data while clients are refused. Nothing of it goes to the log.
    fn replace_data(
        &self,
        shared: &Arc<Shared>,
        flush: bool,
        load: impl FnOnce() -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        shared.engine.gate.close(Closure::Loading);
        let was_logged = shared.is_logged();
        shared.detach();
        shared.set_follower(true);
        if flush {
            Runner::repeating(shared).run_args(ArgsBuf::from_iter(["FLUSHALL"]).as_args());
        }
        let loaded = load();
        shared.set_follower(false);
        if was_logged {
            let held = shared.stripes.lock_all(crate::stripes::Patience::Wait);
            shared.set_logged(&held.expect("a patient lock succeeds"), true);
        }
        shared.engine.gate.open(Closure::Loading);
        loaded
    }

    // The end, and copies.

    fn shut_down(&self, shared: &Shared, job: &Job, how: Shutdown) -> Result<(), Error> {
        const FAILED: Error = Error::text("Errors trying to SHUTDOWN. Check logs.");
        let settings = &shared.engine.settings.files;
        let by_rule = !settings.save_rules.read().is_empty();
        let is_loading = shared.engine.gate.is_closed_by(Closure::Loading);
        let saves = how.save.unwrap_or(by_rule) && !is_loading;
        // What is acknowledged behind the snapshot's cut would be in no file, were it not for the
        // log.
        let pause = &shared.engine.pause;
        pause.start(u64::MAX, PauseScope::Writes, shared.now_ms());
        let mut result = Ok(());
        if saves {
            result = self.save(shared, job);
        }
        if shared.is_logged() {
            result = result.and(self.force_log());
        }
        let is_aborted = job.is_cancelled();
        if is_aborted || result.is_err() && !how.force {
            pause.end();
            shared.engine.host.wake_all();
            return Err(FAILED);
        }
        Ok(())
    }

    fn back_up(&self, shared: &Shared, directory: &[u8]) -> Result<(), Error> {
        let to = self.backup_path(shared, directory)?;
        let failed = |error: io::Error| Error::new(format!("the backup failed: {error}"));
        self.disk.create_dir(&to).map_err(failed)?;
        if !self.disk.list(&to).map_err(failed)?.is_empty() {
            return Err(Error::text("the directory is not empty"));
        }
        self.back_up_to(shared, &to).map_err(failed)
    }

    /// The directory that a client has named, if it lies below the one where backups are allowed.
    fn backup_path(&self, shared: &Shared, directory: &[u8]) -> Result<PathBuf, Error> {
        const UNSET: Error = Error::text("BACKUP needs the setting backup-dir");
        const OUTSIDE: Error = Error::text(
            "the directory must be a plain name, or a path without '..' below backup-dir",
        );
        let names = shared.engine.settings.files.names.read();
        let root = names.backup_dir.as_ref().ok_or(UNSET)?;
        let name = std::str::from_utf8(directory).map_err(|_| OUTSIDE)?;
        let path = Path::new(name);
        let is_below = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_below || name.is_empty() {
            return Err(OUTSIDE);
        }
        Ok(root.join(path))
    }

    /// Gives the files of the log second names. Those that are whole are linked; what is still
    /// appended to is copied up to where it is durable, so the copy is a whole log.
    fn back_up_to(&self, shared: &Shared, to: &Path) -> io::Result<()> {
        let names = shared.engine.settings.files.names.read().clone();
        if let (true, Some(log)) = (shared.is_logged(), self.port.get()) {
            log.wait(log.appended())
                .map_err(|error| io::Error::other(error.to_string()))?;
            let from = names.dir.join(&names.log_dir);
            let target = to.join(&names.log_dir);
            self.disk.create_dir(&target)?;
            // Nothing rewrites meanwhile: this is the thread that would.
            for file in self.disk.list(&from)? {
                let is_temporary = file.name.starts_with("temp-");
                let (source, copied) = (from.join(&file.name), target.join(&file.name));
                if is_temporary {
                    continue;
                }
                let is_base = file.name.contains(".base.");
                if !is_base || self.disk.link(&source, &copied).is_err() {
                    copy(&*self.disk, &source, &copied)?;
                }
            }
            self.disk.sync_dir(&target)?;
        }
        let snapshot = names.dir.join(&names.snapshot);
        if exists(&*self.disk, &snapshot)? {
            let copied = to.join(&names.snapshot);
            if self.disk.link(&snapshot, &copied).is_err() {
                copy(&*self.disk, &snapshot, &copied)?;
            }
        }
        self.disk.sync_dir(to)
    }
}
