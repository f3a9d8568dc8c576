"""The way in: aiohttp's applications, the routes and the reverse proxy."""
