"""The replay server: ring, rate limiter, server and its clients. Never imports torch."""
