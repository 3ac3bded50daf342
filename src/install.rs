//! What to register with systemd, cron or the Windows Task Scheduler.
