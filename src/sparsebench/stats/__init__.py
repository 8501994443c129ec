"""From scores to what can be said of them: intervals, paired differences, frontiers, tolerance."""
