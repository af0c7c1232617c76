"""Drills: incidents simulated on a whole stack, and who is notified of what and when."""
