"""Play incidents on a whole stack, and watch who is told what and when."""
