"""How a run goes: the pure machine that decides, the runner that does, and the bodies of steps."""
