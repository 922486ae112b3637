"""limits"""
def options(p): pass
