"""What developers run beside the pipeline: runs over seeds, tables in documents, comparisons, kills, bundled weights, CI."""
