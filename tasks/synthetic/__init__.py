"""Tasks whose examples are generated: one base that draws, splits and repeats them, and a file per task."""
