"""The capture of errors: exceptions, their stack traces, and the fingerprints that group them."""
