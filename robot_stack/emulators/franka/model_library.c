/* Kinematics and dynamics of the arm under the names that libfranka 0.9 looks up in the library that a Panda hands out.
 *
 * Matrices are column by column. Frame n = 1..7 is joint n's, 8 the flange, 9 the end effector. Dynamics: recursive
 * Newton-Euler in the base frame (Featherstone 2008, 5.3); what the flange carries counts as part of the last link.
 * Before this text come, made by model_library.py, the tables
 *   CHAIN[7][3]: a [m], d [m], alpha [rad] of each joint, as Craig has them;
 *   LINKS[7][10]: mass [kg], centre (3) [m], inertia about it xx xy xz yy yz zz [kg m^2] of each link, in its frame;
 *   FLANGE: from joint 7 to the flange [m].
 */
#include <math.h>
#include <string.h>

typedef struct {
  double R[3][3], p[3];
} Pose;

typedef struct {
  double mass, center[3], inertia[3][3];
} Body;

static const Pose IDENTITY = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, {0, 0, 0}};

static void cross(const double a[3], const double b[3], double out[3]) {
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}

static double dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void turn(const double R[3][3], const double v[3], double out[3]) {
  for (int i = 0; i < 3; i++) out[i] = dot(R[i], v);
}

static void add_cross(const double a[3], const double b[3], double out[3]) {
  double c[3];
  cross(a, b, c);
  for (int i = 0; i < 3; i++) out[i] += c[i];
}

static Pose compose(const Pose *a, const Pose *b) {
  Pose out;
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) {
      out.R[i][j] = 0;
      for (int k = 0; k < 3; k++) out.R[i][j] += a->R[i][k] * b->R[k][j];
    }
  }
  turn(a->R, b->p, out.p);
  for (int i = 0; i < 3; i++) out.p[i] += a->p[i];
  return out;
}

static Pose from_columns(const double m[16]) {
  Pose out;
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) out.R[i][j] = m[4 * j + i];
    out.p[i] = m[12 + i];
  }
  return out;
}

/* Poses of the frames 1..9 in the base; those of joints at index 0..6. */
static void frames(const double q[7], const double F_T_EE[16], Pose out[9]) {
  Pose last = IDENTITY;
  for (int i = 0; i < 7; i++) {
    double a = CHAIN[i][0], d = CHAIN[i][1], ca = cos(CHAIN[i][2]), sa = sin(CHAIN[i][2]);
    double c = cos(q[i]), s = sin(q[i]);
    Pose step = {{{c, -s, 0}, {s * ca, c * ca, -sa}, {s * sa, c * sa, ca}}, {a, -sa * d, ca * d}};
    out[i] = last = compose(&last, &step);
  }
  Pose flange = IDENTITY;
  flange.p[2] = FLANGE;
  out[7] = compose(&last, &flange);
  Pose tool = F_T_EE ? from_columns(F_T_EE) : IDENTITY;
  out[8] = compose(&out[7], &tool);
}

static void pose(int n, const double q[7], const double F_T_EE[16], double out[16]) {
  Pose all[9];
  frames(q, F_T_EE, all);
  memset(out, 0, 16 * sizeof(double));
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) out[4 * j + i] = all[n - 1].R[i][j];
    out[12 + i] = all[n - 1].p[i];
  }
  out[15] = 1;
}

static void axis(const Pose *frame, double out[3]) {
  for (int i = 0; i < 3; i++) out[i] = frame->R[i][2];
}

/* Of frame n; in its own axes if `body`, else in the base's. */
static void jacobian(int n, const double q[7], const double F_T_EE[16], int body, double out[42]) {
  Pose all[9];
  frames(q, F_T_EE, all);
  const Pose *frame = &all[n - 1];
  memset(out, 0, 42 * sizeof(double));
  for (int j = 0; j < 7 && j < n; j++) {
    double z[3], r[3], v[3];
    axis(&all[j], z);
    for (int i = 0; i < 3; i++) r[i] = frame->p[i] - all[j].p[i];
    cross(z, r, v);
    for (int i = 0; i < 3; i++) {
      for (int k = 0; k < 3; k++) {
        double R = body ? frame->R[k][i] : (i == k);
        out[6 * j + i] += R * v[k];
        out[6 * j + 3 + i] += R * z[k];
      }
    }
  }
}

/* Torques for this motion: of one rigid body on each link, and what the flange carries. gravity (3) [m/s^2]. */
static void newton_euler(const double q[7], const double dq[7], const double ddq[7], const double gravity[3],
                         const Body *load, double tau[7]) {
  Pose all[9];
  frames(q, 0, all);
  double F[8][3], N[8][3], c[8][3], z[7][3];
  double w[3] = {0}, dw[3] = {0}, a[3] = {-gravity[0], -gravity[1], -gravity[2]}, last[3] = {0};
  for (int i = 0; i < 8; i++) {
    Body body;
    const Pose *frame = &all[i];
    if (i < 7) {
      const double *l = LINKS[i];
      body = (Body){l[0], {l[1], l[2], l[3]}, {{l[4], l[5], l[6]}, {l[5], l[7], l[8]}, {l[6], l[8], l[9]}}};
      double r[3], wr[3], zd[3];
      axis(frame, z[i]);
      for (int k = 0; k < 3; k++) r[k] = frame->p[k] - last[k];
      cross(w, r, wr);
      add_cross(dw, r, a);
      add_cross(w, wr, a);
      for (int k = 0; k < 3; k++) zd[k] = z[i][k] * dq[i];
      add_cross(w, zd, dw);
      for (int k = 0; k < 3; k++) {
        w[k] += zd[k];
        dw[k] += z[i][k] * ddq[i];
        last[k] = frame->p[k];
      }
    } else {
      body = *load;
    }
    double arm[3], wa[3], ac[3], local[3], spin[3], local_w[3], local_dw[3], Iw[3], Idw[3];
    turn(frame->R, body.center, arm);
    for (int k = 0; k < 3; k++) arm[k] += frame->p[k] - all[i < 7 ? i : 6].p[k];
    for (int k = 0; k < 3; k++) {
      c[i][k] = arm[k];
      ac[k] = a[k];
      local_w[k] = frame->R[0][k] * w[0] + frame->R[1][k] * w[1] + frame->R[2][k] * w[2];
      local_dw[k] = frame->R[0][k] * dw[0] + frame->R[1][k] * dw[1] + frame->R[2][k] * dw[2];
    }
    cross(w, arm, wa);
    add_cross(dw, arm, ac);
    add_cross(w, wa, ac);
    turn(body.inertia, local_w, Iw);
    turn(body.inertia, local_dw, Idw);
    cross(local_w, Iw, spin);
    for (int k = 0; k < 3; k++) {
      F[i][k] = body.mass * ac[k];
      local[k] = Idw[k] + spin[k];
    }
    turn(frame->R, local, N[i]);
  }
  double f[3] = {0}, n[3] = {0};
  for (int i = 6; i >= 0; i--) {
    double r[3] = {0};
    if (i < 6)
      for (int k = 0; k < 3; k++) r[k] = all[i + 1].p[k] - all[i].p[k];
    add_cross(r, f, n);
    for (int b = i; b < (i == 6 ? 8 : i + 1); b++) {
      add_cross(c[b], F[b], n);
      for (int k = 0; k < 3; k++) {
        n[k] += N[b][k];
        f[k] += F[b][k];
      }
    }
    tau[i] = dot(z[i], n);
  }
}

static Body load_of(const double I[9], double mass, const double center[3]) {
  Body load = {mass, {center[0], center[1], center[2]}, {{0}}};
  if (I)
    for (int i = 0; i < 9; i++) load.inertia[i % 3][i / 3] = I[i];
  return load;
}

static const double NOTHING[7] = {0};

void M_NE(const double q[7], const double I[9], double mass, const double center[3], double out[49]) {
  Body load = load_of(I, mass, center);
  for (int j = 0; j < 7; j++) {
    double unit[7] = {0};
    unit[j] = 1;
    newton_euler(q, NOTHING, unit, NOTHING, &load, out + 7 * j);
  }
}

void c_NE(const double q[7], const double dq[7], const double I[9], double mass, const double center[3], double out[7]) {
  Body load = load_of(I, mass, center);
  newton_euler(q, dq, NOTHING, NOTHING, &load, out);
}

void g_NE(const double q[7], const double gravity[3], double mass, const double center[3], double out[7]) {
  Body load = load_of(0, mass, center);
  newton_euler(q, NOTHING, NOTHING, gravity, &load, out);
}

#define FRAME(n)                                                                                  \
  void O_T_J##n(const double q[7], double out[16]) { pose(n, q, 0, out); }                        \
  void O_J_J##n(const double q[7], double out[42]) { jacobian(n, q, 0, 0, out); }                 \
  void Ji_J_J##n(const double q[7], double out[42]) { jacobian(n, q, 0, 1, out); }

FRAME(2) FRAME(3) FRAME(4) FRAME(5) FRAME(6) FRAME(7) FRAME(8)

void O_T_J1(const double q[7], double out[16]) { pose(1, q, 0, out); }
void O_J_J1(double out[42]) { jacobian(1, NOTHING, 0, 0, out); }
void Ji_J_J1(double out[42]) { jacobian(1, NOTHING, 0, 1, out); }
void O_T_J9(const double q[7], const double F_T_EE[16], double out[16]) { pose(9, q, F_T_EE, out); }
void O_J_J9(const double q[7], const double F_T_EE[16], double out[42]) { jacobian(9, q, F_T_EE, 0, out); }
void Ji_J_J9(const double q[7], const double F_T_EE[16], double out[42]) { jacobian(9, q, F_T_EE, 1, out); }
