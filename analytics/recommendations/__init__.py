"""The arithmetic of recommendations: visits to profiles and tallies, a model of them, scores, and their evaluation."""
