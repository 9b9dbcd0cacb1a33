"""Train the runs of a sweep: plan files and blocks, train blocks on workers, store the rows."""
