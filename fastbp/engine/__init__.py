"""From a sweep file to rows on disk: spec → plan → block → executors → store, driven by run."""
