"""Looking at what is counted, before and after: nothing here changes anything."""
