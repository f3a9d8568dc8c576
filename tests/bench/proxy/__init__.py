"""What the way through costs: Rota beside other proxies, before one stand-in for an engine."""
