"""idle"""
def options(p): pass
