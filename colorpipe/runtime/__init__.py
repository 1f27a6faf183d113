"""What cannot change a result: errors and their words, processes, progress. No stage declares it in dvc.yaml."""
