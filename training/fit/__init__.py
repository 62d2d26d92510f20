"""How parameters are fitted: optimiser, loop, saved runs; knows no pictures and no words."""
