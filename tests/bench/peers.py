"""peers"""
def options(p): pass
